SELECT bitryoshka.drop_column(bitryoshka.own_column({table}::pg_catalog.regclass, {code}))
