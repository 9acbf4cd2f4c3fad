DO $step$
DECLARE
    path pg_catalog.text := pg_catalog.current_setting('search_path');
    pgvector pg_catalog.text;
BEGIN
    PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    SELECT quote_ident(n.nspname::text) INTO pgvector
    FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace
    WHERE e.extname = 'vector';
    -- functions name pgvector's schema: all are made again where it was moved
    IF NOT EXISTS (
        SELECT FROM bitryoshka.schema_version AS v
        JOIN pg_proc AS p ON p.pronamespace = 'bitryoshka'::regnamespace
            AND p.proname = 'check_vector'
            AND strpos(p.prosrc, concat(pgvector, '.vector_dims(')) > 0
        WHERE v.version_num >= {revision}
    ) THEN
        EXECUTE replace($script$
{script}
$script$, '{pgvector}', pgvector);
        DELETE FROM bitryoshka.schema_version;
        INSERT INTO bitryoshka.schema_version (version_num) VALUES ({revision});
    END IF;
    PERFORM set_config('search_path', path, true);
END
$step$
