DELETE FROM bitryoshka.columns WHERE NOT EXISTS (SELECT FROM pg_class AS c WHERE c.oid = relation)
