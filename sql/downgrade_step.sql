DO $step$
DECLARE
    path text := current_setting('search_path');
BEGIN
    IF to_regclass('bitryoshka.schema_version') IS NULL THEN
        RETURN;
    END IF;
    IF EXISTS (SELECT FROM bitryoshka.schema_version WHERE version_num >= {revision}) THEN
        EXECUTE $script$
{script}
$script$;
        DELETE FROM bitryoshka.schema_version;
        INSERT INTO bitryoshka.schema_version (version_num)
        SELECT before FROM (VALUES ({before})) AS v (before) WHERE before <> '';
    END IF;
    PERFORM set_config('search_path', path, true);
END
$step$
