SELECT pg_catalog.to_regclass('bitryoshka.code_columns')::pg_catalog.text
