-- Creating, checking, upgrading and removing schema bitryoshka, and pgvector itself.

-- name: begin_downgrade
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

-- name: begin_upgrade
DO $begin$
DECLARE
    path pg_catalog.text := pg_catalog.current_setting('search_path');
    pgvector pg_catalog.text;
BEGIN
    PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    IF EXISTS (SELECT FROM pg_extension WHERE extname = 'bitryoshka') THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = 'schema bitryoshka belongs to the extension of that name',
            HINT = 'Use ALTER EXTENSION bitryoshka UPDATE.';
    END IF;
    SELECT coalesce(installed_version, default_version) INTO pgvector
    FROM pg_available_extensions WHERE name = 'vector';
    IF string_to_array(rtrim(substring(pgvector FROM '^[0-9.]+'), '.'), '.')::integer[] < '{0,8,4}'
    THEN
        RAISE EXCEPTION USING
            ERRCODE = 'feature_not_supported',
            MESSAGE = concat('pgvector 0.8.4 or newer is needed, found ', pgvector),
            HINT = 'Install a newer one on the server, then run ALTER EXTENSION vector UPDATE.';
    END IF;
    IF to_regnamespace('bitryoshka') IS NULL THEN
        -- whoever comes second waits here for the first
        BEGIN
            CREATE SCHEMA bitryoshka;
        EXCEPTION WHEN duplicate_schema OR unique_violation THEN
            NULL;
        END;
    END IF;
    PERFORM set_config('search_path', path, true);
END
$begin$

-- name: begin_version
DO $version$
BEGIN
    BEGIN
        CREATE TABLE IF NOT EXISTS bitryoshka.schema_version (
            version_num pg_catalog.varchar(32) NOT NULL,
            CONSTRAINT schema_version_pkc PRIMARY KEY (version_num)
        );
    EXCEPTION WHEN duplicate_table OR unique_violation THEN
        NULL;
    END;
    -- one upgrade at a time
    LOCK TABLE bitryoshka.schema_version;
END
$version$

-- name: check_owner
-- Whoever made the schema, or something in it, could have code of their own run by all who use it.
DO $check$
DECLARE
    owner pg_catalog.name;
    found pg_catalog.text;
BEGIN
    SELECT r.rolname INTO owner
    FROM pg_catalog.pg_namespace AS n
    JOIN pg_catalog.pg_roles AS r ON r.oid OPERATOR(pg_catalog.=) n.nspowner
    WHERE n.nspname OPERATOR(pg_catalog.=) 'bitryoshka'::pg_catalog.name;
    IF owner OPERATOR(pg_catalog.<>) current_user THEN
        RAISE EXCEPTION USING
            ERRCODE = 'insufficient_privilege',
            MESSAGE = pg_catalog.concat(
                'schema bitryoshka belongs to role '::pg_catalog.text, owner::pg_catalog.text,
                ', found role '::pg_catalog.text, current_user::pg_catalog.text),
            HINT = 'Do this as that role, by SET ROLE; or give it to yours by REASSIGN OWNED.';
    END IF;
    SELECT pg_catalog.string_agg(
        pg_catalog.concat(f.title, ' of '::pg_catalog.text, f.owner), ', '::pg_catalog.text)
    INTO found
    FROM (
{foreign}
    ) AS f;
    IF found IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'insufficient_privilege',
            MESSAGE = pg_catalog.concat(
                'all in schema bitryoshka must belong to its owner, found '::pg_catalog.text,
                    found),
            HINT = 'Drop it, or ALTER ... OWNER TO.';
    END IF;
    FOR found IN
        SELECT CASE WHEN a.grantee OPERATOR(pg_catalog.=) 0::pg_catalog.oid THEN 'PUBLIC'
            ELSE a.grantee::pg_catalog.regrole::pg_catalog.text END
        FROM pg_catalog.pg_namespace AS n CROSS JOIN LATERAL pg_catalog.aclexplode(n.nspacl) AS a
        WHERE n.nspname OPERATOR(pg_catalog.=) 'bitryoshka'::pg_catalog.name
            AND a.privilege_type OPERATOR(pg_catalog.=) 'CREATE'::pg_catalog.text
            AND a.grantee OPERATOR(pg_catalog.<>) n.nspowner
    LOOP
        EXECUTE pg_catalog.concat('REVOKE CREATE ON SCHEMA bitryoshka FROM '::pg_catalog.text,
            found, ' CASCADE'::pg_catalog.text);
    END LOOP;
END
$check$

-- name: create_pgvector
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

-- name: drop_schema
DO $drop$
BEGIN
    IF pg_catalog.to_regnamespace('bitryoshka') IS NOT NULL THEN
        DROP TABLE IF EXISTS bitryoshka.schema_version;
        DROP SCHEMA bitryoshka;
    END IF;
END
$drop$

-- name: extension_dump
SELECT pg_catalog.pg_extension_config_dump('bitryoshka.{table}', '');

-- name: foreign_objects
-- What in schema bitryoshka does not belong to the schema's owner
SELECT o.title, r.rolname::pg_catalog.text AS owner, s.rolname::pg_catalog.text AS schema_owner
FROM pg_catalog.pg_namespace AS n
JOIN pg_catalog.pg_roles AS s ON s.oid OPERATOR(pg_catalog.=) n.nspowner
CROSS JOIN LATERAL (
    SELECT c.oid::pg_catalog.regclass::pg_catalog.text, c.relowner
    FROM pg_catalog.pg_class AS c WHERE c.relnamespace OPERATOR(pg_catalog.=) n.oid
    UNION ALL
    SELECT p.oid::pg_catalog.regprocedure::pg_catalog.text, p.proowner
    FROM pg_catalog.pg_proc AS p
    WHERE p.pronamespace OPERATOR(pg_catalog.=) n.oid
        -- of columns that were attached before their functions lay beside their tables
        AND p.proname::pg_catalog.text OPERATOR(pg_catalog.!~) '^(fill|encode)_column_[0-9]+$'
    UNION ALL
    SELECT p.oid::pg_catalog.regoperator::pg_catalog.text, p.oprowner
    FROM pg_catalog.pg_operator AS p WHERE p.oprnamespace OPERATOR(pg_catalog.=) n.oid
    UNION ALL
    SELECT t.oid::pg_catalog.regtype::pg_catalog.text, t.typowner
    FROM pg_catalog.pg_type AS t WHERE t.typnamespace OPERATOR(pg_catalog.=) n.oid
) AS o (title, owner)
JOIN pg_catalog.pg_roles AS r ON r.oid OPERATOR(pg_catalog.=) o.owner
WHERE n.nspname OPERATOR(pg_catalog.=) 'bitryoshka'::pg_catalog.name
    AND o.owner OPERATOR(pg_catalog.<>) n.nspowner
ORDER BY o.title

-- name: own_extension
SELECT EXISTS (SELECT
    FROM pg_catalog.pg_extension WHERE extname OPERATOR(pg_catalog.=) 'bitryoshka')

-- name: pgvector_schema
SELECT n.nspname::pg_catalog.text
FROM pg_catalog.pg_extension AS e
    JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) e.extnamespace
WHERE e.extname OPERATOR(pg_catalog.=) 'vector'

-- name: pgvector_version
SELECT
    (SELECT extversion FROM pg_catalog.pg_extension WHERE extname OPERATOR(pg_catalog.=) 'vector'),
    (SELECT default_version
        FROM pg_catalog.pg_available_extensions WHERE name OPERATOR(pg_catalog.=) 'vector')

-- name: run_script
DO $run$
DECLARE
    path pg_catalog.text := pg_catalog.current_setting('search_path');
BEGIN
    PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    EXECUTE replace($script$
{script}
$script$, '{pgvector}', (
        SELECT quote_ident(n.nspname)
        FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace
        WHERE e.extname = 'vector'));
    PERFORM set_config('search_path', path, true);
END
$run$

-- name: schema_owner
-- whoever owns the schema can have code of theirs run by all who use it: by a superuser, who has
-- most to lose, only a superuser's or the database owner's is used
SELECT
    o.rolname::pg_catalog.text,
    NOT m.rolsuper OR o.rolsuper OR o.oid OPERATOR(pg_catalog.=) d.datdba,
    o.oid OPERATOR(pg_catalog.=) m.oid
FROM pg_catalog.pg_namespace AS n
JOIN pg_catalog.pg_roles AS o ON o.oid OPERATOR(pg_catalog.=) n.nspowner
CROSS JOIN pg_catalog.pg_roles AS m
CROSS JOIN pg_catalog.pg_database AS d
WHERE n.nspname OPERATOR(pg_catalog.=) 'bitryoshka'
    AND m.rolname OPERATOR(pg_catalog.=) current_user
    AND d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()

-- name: upgrade_step
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

-- name: version
SELECT version_num FROM bitryoshka.schema_version

-- name: version_table
SELECT pg_catalog.to_regclass('bitryoshka.schema_version')::pg_catalog.text
