DO $step$
DECLARE
    path pg_catalog.text := pg_catalog.current_setting('search_path');
BEGIN
    PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    IF NOT EXISTS (SELECT FROM bitryoshka.schema_version WHERE version_num >= {revision}) THEN
        EXECUTE replace($script$
{script}
$script$, '{pgvector}', (
            SELECT quote_ident(n.nspname)
            FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace
            WHERE e.extname = 'vector'));
        DELETE FROM bitryoshka.schema_version;
        INSERT INTO bitryoshka.schema_version (version_num) VALUES ({revision});
    END IF;
    PERFORM set_config('search_path', path, true);
END
$step$
