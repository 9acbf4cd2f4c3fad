-- What earlier revisions had and this one has not. Attached columns go on: their functions move
-- beside their tables, under the trigger, and are made again; an encoder that a writer may be
-- calling at this moment stays until its column is dropped.
DO $$
DECLARE
    entry record;
    made record;
    old text;
BEGIN
    DROP FUNCTION IF EXISTS bitryoshka.rename_code_column(regclass, name, name);
    DROP FUNCTION IF EXISTS bitryoshka.progressive_create_encoder(text);
    DROP FUNCTION IF EXISTS bitryoshka.progressive_create_column_functions(integer);
    DROP FUNCTION IF EXISTS bitryoshka.create_column_functions(integer);
    FOR entry IN
        SELECT c.id, r.relnamespace::regnamespace AS home, r.relowner::regrole AS owner
        FROM bitryoshka.columns AS c JOIN pg_class AS r ON r.oid = c.relation
        WHERE c.vector_column IS NOT NULL
    LOOP
        old := concat('fill_column_', entry.id);
        IF to_regprocedure(concat('bitryoshka.', old, '()')) IS NOT NULL THEN
            EXECUTE concat(
                'ALTER FUNCTION bitryoshka.', old, '() RENAME TO bitryoshka_fill_', entry.id);
            EXECUTE concat(
                'ALTER FUNCTION bitryoshka.bitryoshka_fill_', entry.id, '() SET SCHEMA ',
                entry.home::text);
        END IF;
        PERFORM bitryoshka.create_column_functions(entry.id, again => true);
        FOR made IN
            SELECT f, p.proowner FROM bitryoshka.column_functions(
                entry.id, (SELECT c.relation FROM bitryoshka.columns AS c WHERE c.id = entry.id)
            ) AS f
            JOIN pg_proc AS p ON p.oid = f
            WHERE p.pronamespace <> 'bitryoshka'::regnamespace
        LOOP
            EXECUTE concat(
                'ALTER FUNCTION ', made.f::text, ' OWNER TO ', entry.owner::text);
        END LOOP;
    END LOOP;
    FOR made IN
        SELECT k.label FROM bitryoshka.codecs AS k JOIN pg_proc AS p
            ON p.proname = concat('encode_', k.name, '_', k.version)
            AND p.pronamespace = 'bitryoshka'::regnamespace
    LOOP
        PERFORM bitryoshka.create_encoder(made.label);
    END LOOP;
END
$$;
