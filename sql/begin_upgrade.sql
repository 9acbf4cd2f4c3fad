DO $begin$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('bitryoshka'), 0);
    IF EXISTS (SELECT FROM pg_extension WHERE extname = 'bitryoshka') THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = 'schema bitryoshka belongs to the extension of that name',
            HINT = 'Use ALTER EXTENSION bitryoshka UPDATE.';
    END IF;
    CREATE SCHEMA IF NOT EXISTS bitryoshka;
    CREATE TABLE IF NOT EXISTS bitryoshka.schema_version (
        version_num varchar(32) NOT NULL,
        CONSTRAINT schema_version_pkc PRIMARY KEY (version_num)
    );
END
$begin$
