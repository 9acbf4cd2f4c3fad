SELECT bitryoshka.repair_code_column({table}::pg_catalog.regclass, {code})
