DO $begin$
DECLARE
    path pg_catalog.text := pg_catalog.current_setting('search_path');
    pgvector pg_catalog.text;
BEGIN
    PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    IF EXISTS (SELECT FROM pg_extension WHERE extname = 'bitryoshka') THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = 'schema bitryoshka belongs to the extension of that name',
            HINT = 'Use ALTER EXTENSION bitryoshka UPDATE.';
    END IF;
    SELECT coalesce(installed_version, default_version) INTO pgvector
    FROM pg_available_extensions WHERE name = 'vector';
    IF string_to_array(rtrim(substring(pgvector FROM '^[0-9.]+'), '.'), '.')::integer[] < '{0,8,4}'
    THEN
        RAISE EXCEPTION USING
            ERRCODE = 'feature_not_supported',
            MESSAGE = concat('pgvector 0.8.4 or newer is needed, found ', pgvector),
            HINT = 'Install a newer one on the server, then run ALTER EXTENSION vector UPDATE.';
    END IF;
    IF to_regnamespace('bitryoshka') IS NULL THEN
        -- whoever comes second waits here for the first
        BEGIN
            CREATE SCHEMA bitryoshka;
        EXCEPTION WHEN duplicate_schema OR unique_violation THEN
            NULL;
        END;
    END IF;
    PERFORM set_config('search_path', path, true);
END
$begin$
