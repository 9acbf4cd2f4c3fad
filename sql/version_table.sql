SELECT pg_catalog.to_regclass('bitryoshka.schema_version')::pg_catalog.text
