SELECT bitryoshka.release_column(bitryoshka.own_column({table}::pg_catalog.regclass, {code}))
