DROP TABLE IF EXISTS pg_temp.bitryoshka_batch
