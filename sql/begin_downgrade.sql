DO $begin$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('bitryoshka'), 0);
    IF EXISTS (SELECT FROM pg_extension WHERE extname = 'bitryoshka') THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = 'schema bitryoshka belongs to the extension of that name',
            HINT = 'Use DROP EXTENSION bitryoshka.';
    END IF;
END
$begin$
