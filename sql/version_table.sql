SELECT to_regclass('bitryoshka.schema_version')::text
