SELECT bitryoshka.fill_code_column({table}::pg_catalog.regclass, {code})
