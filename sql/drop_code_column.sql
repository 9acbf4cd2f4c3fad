SELECT bitryoshka.drop_code_column({table}::pg_catalog.regclass, {code})
