DROP TABLE IF EXISTS bitryoshka.schema_version;
DROP SCHEMA IF EXISTS bitryoshka
