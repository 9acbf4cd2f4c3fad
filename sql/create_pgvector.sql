DO $pgvector$
BEGIN
    IF pg_catalog.current_schema() IS NULL THEN
        CREATE EXTENSION IF NOT EXISTS vector SCHEMA public;
    ELSE
        CREATE EXTENSION IF NOT EXISTS vector;
    END IF;
EXCEPTION WHEN unique_violation OR duplicate_object THEN
    -- another session has made it meanwhile
    NULL;
END
$pgvector$
