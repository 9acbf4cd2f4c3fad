DO $version$
BEGIN
    BEGIN
        CREATE TABLE IF NOT EXISTS bitryoshka.schema_version (
            version_num pg_catalog.varchar(32) NOT NULL,
            CONSTRAINT schema_version_pkc PRIMARY KEY (version_num)
        );
    EXCEPTION WHEN duplicate_table OR unique_violation THEN
        NULL;
    END;
    -- one upgrade at a time
    LOCK TABLE bitryoshka.schema_version;
END
$version$
