DO $drop$
BEGIN
    IF pg_catalog.to_regnamespace('bitryoshka') IS NOT NULL THEN
        DROP TABLE IF EXISTS bitryoshka.schema_version;
        DROP SCHEMA bitryoshka;
    END IF;
END
$drop$
