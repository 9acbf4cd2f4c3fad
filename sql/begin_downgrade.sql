DO $begin$
BEGIN
    PERFORM pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtext('bitryoshka'), 0);
    IF EXISTS (
        SELECT FROM pg_catalog.pg_extension AS e
        WHERE e.extname OPERATOR(pg_catalog.=) 'bitryoshka'::pg_catalog.name
    ) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = 'schema bitryoshka belongs to the extension of that name',
            HINT = 'Use DROP EXTENSION bitryoshka.';
    END IF;
END
$begin$
