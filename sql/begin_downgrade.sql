DO $begin$
BEGIN
    IF EXISTS (
        SELECT FROM pg_catalog.pg_extension AS e
        WHERE e.extname OPERATOR(pg_catalog.=) 'bitryoshka'::pg_catalog.name
    ) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = 'schema bitryoshka belongs to the extension of that name',
            HINT = 'Use DROP EXTENSION bitryoshka.';
    END IF;
    IF pg_catalog.to_regclass('bitryoshka.schema_version') IS NOT NULL THEN
        -- one installation or removal at a time
        LOCK TABLE bitryoshka.schema_version;
    END IF;
END
$begin$
