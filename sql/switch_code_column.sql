SELECT bitryoshka.switch_code_column({table}::pg_catalog.regclass, {new}, {code}, {kept})
