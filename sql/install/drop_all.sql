-- Of any revision; an error where an index or a column that somebody made uses a function.
DO $$
DECLARE
    attached text;
    one record;
    dropped text;
BEGIN
    IF to_regclass('bitryoshka.columns') IS NOT NULL THEN
        SELECT string_agg(r.oid::regclass::text, ', ') INTO attached
        FROM bitryoshka.columns AS c JOIN pg_class AS r ON r.oid = c.relation;
    END IF;
    IF attached IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_in_use',
            MESSAGE = concat('codecs are attached to columns of ', attached),
            HINT = 'Detach them first.';
    END IF;
    FOR one IN
        SELECT t.tgname, t.tgrelid FROM pg_trigger AS t JOIN pg_class AS r ON r.oid = t.tgrelid
        WHERE r.relnamespace = 'bitryoshka'::regnamespace AND NOT t.tgisinternal
    LOOP
        EXECUTE concat(
            'DROP TRIGGER ', quote_ident(one.tgname::text), ' ON ', one.tgrelid::regclass::text);
    END LOOP;
    FOR one IN
        SELECT p.polname, p.polrelid FROM pg_policy AS p JOIN pg_class AS r ON r.oid = p.polrelid
        WHERE r.relnamespace = 'bitryoshka'::regnamespace
    LOOP
        EXECUTE concat(
            'DROP POLICY ', quote_ident(one.polname::text), ' ON ', one.polrelid::regclass::text);
    END LOOP;
    FOR dropped IN
        SELECT concat('VIEW ', string_agg(r.oid::regclass::text, ', ')) FROM pg_class AS r
        WHERE r.relnamespace = 'bitryoshka'::regnamespace AND r.relkind = 'v'
        HAVING count(*) > 0
        UNION ALL
        SELECT concat('FUNCTION ', string_agg(p.oid::regprocedure::text, ', ')) FROM pg_proc AS p
        WHERE p.pronamespace = 'bitryoshka'::regnamespace
        HAVING count(*) > 0
        UNION ALL
        SELECT concat('TABLE ', string_agg(r.oid::regclass::text, ', ')) FROM pg_class AS r
        WHERE r.relnamespace = 'bitryoshka'::regnamespace AND r.relkind = 'r'
            AND r.relname <> 'schema_version'
        HAVING count(*) > 0
    LOOP
        EXECUTE concat('DROP ', dropped);
    END LOOP;
END
$$;
