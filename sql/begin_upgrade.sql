DO $begin$
DECLARE
    pgvector text := (
        SELECT coalesce(installed_version, default_version)
        FROM pg_available_extensions WHERE name = 'vector');
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('bitryoshka'), 0);
    IF EXISTS (SELECT FROM pg_extension WHERE extname = 'bitryoshka') THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = 'schema bitryoshka belongs to the extension of that name',
            HINT = 'Use ALTER EXTENSION bitryoshka UPDATE.';
    END IF;
    IF string_to_array(rtrim(substring(pgvector FROM '^[0-9.]+'), '.'), '.')::integer[] < '{0,8,4}'
    THEN
        RAISE EXCEPTION USING
            ERRCODE = 'feature_not_supported',
            MESSAGE = concat('pgvector 0.8.4 or newer is needed, found ', pgvector),
            HINT = 'Install a newer one on the server, then run ALTER EXTENSION vector UPDATE.';
    END IF;
    CREATE SCHEMA IF NOT EXISTS bitryoshka;
    CREATE TABLE IF NOT EXISTS bitryoshka.schema_version (
        version_num varchar(32) NOT NULL,
        CONSTRAINT schema_version_pkc PRIMARY KEY (version_num)
    );
END
$begin$
