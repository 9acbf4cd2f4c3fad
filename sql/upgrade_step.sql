DO $step$
DECLARE
    path text := current_setting('search_path');
BEGIN
    IF NOT EXISTS (SELECT FROM bitryoshka.schema_version WHERE version_num >= {revision}) THEN
        EXECUTE $script$
{script}
$script$;
        DELETE FROM bitryoshka.schema_version;
        INSERT INTO bitryoshka.schema_version (version_num) VALUES ({revision});
    END IF;
    PERFORM set_config('search_path', path, true);
END
$step$
