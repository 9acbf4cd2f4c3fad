DO $pgvector$
BEGIN
    -- the first schema of the path could be anybody's
    IF pg_catalog.to_regnamespace('public') IS NOT NULL THEN
        CREATE EXTENSION IF NOT EXISTS vector SCHEMA public;
    ELSE
        CREATE EXTENSION IF NOT EXISTS vector;
    END IF;
EXCEPTION WHEN unique_violation OR duplicate_object THEN
    -- another session has made it meanwhile
    NULL;
END
$pgvector$
