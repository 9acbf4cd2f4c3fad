CREATE OR REPLACE FUNCTION bitryoshka.column_functions(column_id integer)
RETURNS TABLE (fill oid, encoder oid)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    -- by the trigger: a name could be somebody else's
    SELECT t.tgfoid, e.oid
    FROM bitryoshka.columns AS c
    JOIN pg_trigger AS t
        ON t.tgrelid = c.relation AND t.tgname = concat('zz_bitryoshka_', c.id)
    JOIN pg_proc AS f ON f.oid = t.tgfoid
    LEFT JOIN pg_proc AS e
        ON e.pronamespace = f.pronamespace
        AND e.proname = replace(f.proname::text, 'fill_', 'encode_')
        AND e.prokind = 'f' AND e.prorettype = 'bit'::regtype AND e.pronargs = 1
        AND e.proargtypes[0] = concat(bitryoshka.pgvector(), '.vector')::regtype
    WHERE c.id = column_functions.column_id AND (
        f.proname::text ~ concat('^bitryoshka_fill_', c.id, '_[0-9a-f]{8}$')
        OR f.pronamespace = 'bitryoshka'::regnamespace AND f.proname = concat('fill_column_', c.id))
$$;
COMMENT ON FUNCTION bitryoshka.column_functions(integer) IS
'The functions of a code column: its trigger''s, and the encoder that this calls.';

CREATE OR REPLACE FUNCTION bitryoshka.code_of(column_id integer, encoder text, source text)
RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    entry bitryoshka.columns;
    one bitryoshka.codecs;
    pgvector text := bitryoshka.pgvector();
    dimensions integer;
    input text;
    has_code text;
BEGIN
    SELECT c.* INTO entry FROM bitryoshka.columns AS c WHERE c.id = column_id;
    SELECT k.* INTO one FROM bitryoshka.codecs AS k WHERE k.id = entry.codec_id;
    -- cast whatever its type is now: it may become the other one
    input := concat(
        '(', source, '.', quote_ident(entry.vector_column::text), '::', pgvector, '.vector)');
    IF entry.bad_vectors = 'skip' THEN
        SELECT v.dimensions INTO dimensions
        FROM bitryoshka.vector_type(entry.relation, entry.vector_column) AS v;
        has_code := nullif(concat_ws(' AND ',
            CASE WHEN dimensions = -1
                THEN concat(pgvector, '.vector_dims(', input, ') = ', one.dimensions) END,
            CASE WHEN one.metric = 'cosine'
                THEN concat(pgvector, '.vector_norm(', input, ') > 0') END), '');
    END IF;
    RETURN concat(
        'CASE WHEN ', coalesce(has_code, 'true'), ' THEN ', encoder, '(', input, ') END');
END
$$;
COMMENT ON FUNCTION bitryoshka.code_of(integer, text, text) IS
'Expression for what a code column holds in a row, source: the code by a function that is named, or
NULL.';

CREATE OR REPLACE FUNCTION bitryoshka.fill_body(column_id integer, encoder text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    entry bitryoshka.columns;
    label text;
    code text;
    vector_column text;
BEGIN
    SELECT c.* INTO entry FROM bitryoshka.columns AS c WHERE c.id = column_id;
    SELECT k.label INTO label FROM bitryoshka.codecs AS k WHERE k.id = entry.codec_id;
    code := quote_ident(entry.code_column::text);
    vector_column := quote_ident(entry.vector_column::text);
    -- what is compared stands here and not in the trigger's WHEN: a dump could not restore an
    -- operator of pgvector there
    RETURN concat('
DECLARE
    hint text;
BEGIN
    IF TG_OP = ''UPDATE'' THEN
        IF coalesce(
            OLD.', vector_column, ' OPERATOR(', bitryoshka.pgvector(), '.=) NEW.', vector_column, ',
            OLD.', vector_column, ' IS NULL AND NEW.', vector_column, ' IS NULL
        ) AND (
            OLD.', code, ' IS NOT DISTINCT FROM NEW.', code, '
            -- the backfill, by the owner of the table, writes codes that it has made already
            OR current_setting(''bitryoshka.backfill'', true) = ''on'' AND pg_has_role(
                current_user, (SELECT relowner FROM pg_class WHERE oid = TG_RELID), ''USAGE'')
        ) THEN
            RETURN NEW;
        END IF;
    END IF;
    NEW.', code, ' := ', bitryoshka.code_of(column_id, encoder, 'NEW'), ';
    RETURN NEW;
EXCEPTION WHEN undefined_column OR undefined_function OR undefined_object OR invalid_schema_name
    OR cannot_coerce OR datatype_mismatch OR string_data_length_mismatch
THEN
    GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
    RAISE EXCEPTION USING
        ERRCODE = SQLSTATE,
        MESSAGE = concat(
            ', quote_literal(concat('column ', code, ' of ')), ',
            TG_TABLE_SCHEMA, ''.'', TG_TABLE_NAME,
            ', quote_literal(concat(' holds codes of column ', vector_column, ' by codec ', label,
                ', and cannot any more: ')), ', SQLERRM),
        HINT = coalesce(nullif(hint, ''''), ''bitryoshka status says what was changed. Where a column ''
            ''was renamed or its type changed, bitryoshka attach takes it up; where pgvector was moved, ''
            ''bitryoshka install makes the functions anew; bitryoshka detach ends it.'');
END
');
END
$$;
COMMENT ON FUNCTION bitryoshka.fill_body(integer, text) IS
'Body of the trigger function of a code column, which encodes by the function that is named.';

CREATE OR REPLACE FUNCTION bitryoshka.make_encoder(column_id integer, encoder text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    one bitryoshka.codecs;
BEGIN
    SELECT k.* INTO one
    FROM bitryoshka.columns AS c JOIN bitryoshka.codecs AS k ON k.id = c.codec_id
    WHERE c.id = column_id;
    EXECUTE concat(
        'CREATE OR REPLACE FUNCTION ', encoder, '(input ', bitryoshka.pgvector(),
        '.vector) RETURNS bit LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE COST 100000 ',
        'SET search_path = pg_catalog, pg_temp ',
        'SET plan_cache_mode = force_generic_plan AS ',
        quote_literal(bitryoshka.column_encoder(one)));
    -- whoever writes a row calls it, whatever the default privileges are
    EXECUTE concat('GRANT EXECUTE ON FUNCTION ', encoder, '(', bitryoshka.pgvector(),
        '.vector) TO PUBLIC');
END
$$;
COMMENT ON FUNCTION bitryoshka.make_encoder(integer, text) IS
'Make, or make again, the encoder of a code column under a name.';

CREATE OR REPLACE FUNCTION bitryoshka.make_column_functions(column_id integer) RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    suffix text := concat(column_id, '_', left(replace(gen_random_uuid()::text, '-', ''), 8));
    home text;
    owner text;
    called text;
BEGIN
    SELECT quote_ident(n.nspname::text), r.relowner::regrole::text INTO home, owner
    FROM bitryoshka.columns AS c
    JOIN pg_class AS r ON r.oid = c.relation
    JOIN pg_namespace AS n ON n.oid = r.relnamespace
    WHERE c.id = column_id;
    PERFORM bitryoshka.make_encoder(column_id, concat(home, '.bitryoshka_encode_', suffix));
    EXECUTE concat(
        'CREATE FUNCTION ', home, '.bitryoshka_fill_', suffix, '() RETURNS trigger ',
        'LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS ',
        quote_literal(bitryoshka.fill_body(
            column_id, concat(home, '.bitryoshka_encode_', suffix))));
    FOREACH called IN ARRAY ARRAY[
        concat(home, '.bitryoshka_fill_', suffix, '()'),
        concat(home, '.bitryoshka_encode_', suffix, '(', bitryoshka.pgvector(), '.vector)')]
    LOOP
        EXECUTE concat(
            'COMMENT ON FUNCTION ', called, ' IS ', quote_literal((
                SELECT concat('Codes of ', k.label, ' for a column of ',
                    bitryoshka.title(c.relation), '.')
                FROM bitryoshka.columns AS c JOIN bitryoshka.codecs AS k ON k.id = c.codec_id
                WHERE c.id = column_id)));
        -- what runs with the rights of whoever writes is the table owner's to change, and nobody
        -- else's
        EXECUTE concat('ALTER FUNCTION ', called, ' OWNER TO ', owner);
    END LOOP;
    -- nobody else's trigger calls it
    EXECUTE concat(
        'REVOKE EXECUTE ON FUNCTION ', home, '.bitryoshka_fill_', suffix, '() FROM PUBLIC');
    RETURN concat(home, '.bitryoshka_fill_', suffix, '()');
END
$$;
COMMENT ON FUNCTION bitryoshka.make_column_functions(integer) IS
'Make the encoder and the trigger function of a code column, in the schema of its table and the
table owner''s, under names that nobody can have taken before. Gives the trigger function.';

CREATE OR REPLACE FUNCTION bitryoshka.renew_column(column_id integer) RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    entry bitryoshka.columns;
    made record;
    home text;
    owner oid;
    suffix text := concat(column_id, '_', left(replace(gen_random_uuid()::text, '-', ''), 8));
    fill text;
    encoder text;
BEGIN
    SELECT c.* INTO entry FROM bitryoshka.columns AS c WHERE c.id = column_id;
    SELECT f.fill, f.encoder, p.proowner, p.proname::text AS name, n.nspname::text AS schema
    INTO made
    FROM bitryoshka.column_functions(column_id) AS f
    JOIN pg_proc AS p ON p.oid = f.fill
    JOIN pg_namespace AS n ON n.oid = p.pronamespace;
    SELECT quote_ident(n.nspname::text), r.relowner INTO home, owner
    FROM pg_class AS r JOIN pg_namespace AS n ON n.oid = r.relnamespace
    WHERE r.oid = entry.relation;
    IF made.fill IS NULL OR NOT pg_has_role(current_user, owner, 'USAGE') THEN
        RETURN false;
    END IF;
    IF EXISTS (
        SELECT FROM pg_trigger AS t
        WHERE t.tgfoid = made.fill AND t.tgparentid = 0 AND t.tgrelid <> entry.relation
    ) OR NOT pg_has_role(current_user, made.proowner, 'USAGE')
        OR (made.encoder IS NULL AND made.schema <> 'bitryoshka')
    THEN
        -- a function that another table's trigger calls as well, or that is somebody else's, is left
        -- as it is, and the trigger gets new ones
        EXECUTE concat(
            'CREATE OR REPLACE TRIGGER zz_bitryoshka_', column_id, ' BEFORE INSERT OR UPDATE ON ',
            bitryoshka.title(entry.relation), ' FOR EACH ROW EXECUTE FUNCTION ',
            bitryoshka.make_column_functions(column_id));
        RETURN true;
    END IF;
    IF made.schema = 'bitryoshka' THEN
        -- of an earlier revision: under the trigger, the function moves beside the table; the
        -- encoder that a writer may be calling at this moment stays until the column is dropped
        encoder := concat(home, '.bitryoshka_encode_', suffix);
        PERFORM bitryoshka.make_encoder(column_id, encoder);
        EXECUTE concat('ALTER FUNCTION ', encoder, '(', bitryoshka.pgvector(), '.vector) OWNER TO ',
            owner::regrole::text);
        EXECUTE concat('ALTER FUNCTION bitryoshka.', quote_ident(made.name),
            '() RENAME TO bitryoshka_fill_', suffix);
        EXECUTE concat('ALTER FUNCTION bitryoshka.bitryoshka_fill_', suffix, '() SET SCHEMA ',
            home);
        fill := concat(home, '.bitryoshka_fill_', suffix);
    ELSE
        SELECT concat(quote_ident(n.nspname::text), '.', quote_ident(p.proname::text)) INTO encoder
        FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
        WHERE p.oid = made.encoder;
        PERFORM bitryoshka.make_encoder(column_id, encoder);
        EXECUTE concat('ALTER FUNCTION ', encoder, '(', bitryoshka.pgvector(), '.vector) OWNER TO ',
            owner::regrole::text);
        fill := concat(quote_ident(made.schema), '.', quote_ident(made.name));
    END IF;
    EXECUTE concat(
        'CREATE OR REPLACE FUNCTION ', fill, '() RETURNS trigger ',
        'LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS ',
        quote_literal(bitryoshka.fill_body(column_id, encoder)));
    EXECUTE concat('ALTER FUNCTION ', fill, '() OWNER TO ', owner::regrole::text);
    EXECUTE concat('REVOKE EXECUTE ON FUNCTION ', fill, '() FROM PUBLIC');
    RETURN true;
END
$$;
COMMENT ON FUNCTION bitryoshka.renew_column(integer) IS
'Make the functions of a code column again, as this revision makes them; false where the caller may
not, or where its trigger is not the one that the entry says.';

CREATE OR REPLACE FUNCTION bitryoshka.renew_functions() RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    one record;
BEGIN
    -- what its owner has made unusable keeps nobody else's from being made again
    FOR one IN SELECT c.* FROM bitryoshka.columns AS c WHERE c.vector_column IS NOT NULL LOOP
        BEGIN
            PERFORM bitryoshka.renew_column(one.id);
        EXCEPTION
            WHEN lock_not_available THEN
                RAISE;
            WHEN OTHERS THEN
                RAISE WARNING USING MESSAGE = concat(
                    'functions of column ', one.code_column, ' of ',
                    bitryoshka.title(one.relation), ' were not made again: ', SQLERRM);
        END;
    END LOOP;
    FOR one IN SELECT k.id, k.label FROM bitryoshka.codecs AS k LOOP
        BEGIN
            PERFORM bitryoshka.make_query_functions(one.id);
        EXCEPTION WHEN OTHERS THEN
            RAISE WARNING USING MESSAGE = concat(
                'the functions for queries of ', one.label, ' were not made again: ', SQLERRM);
        END;
    END LOOP;
    FOR one IN
        SELECT k.label FROM bitryoshka.codecs AS k JOIN pg_proc AS p
            ON p.proname = concat('encode_', k.name, '_', k.version)
        WHERE p.pronamespace = 'bitryoshka'::regnamespace AND p.provolatile = 'i'
            AND pg_has_role(current_user, p.proowner, 'USAGE')
    LOOP
        BEGIN
            PERFORM bitryoshka.create_encoder(one.label);
        EXCEPTION WHEN OTHERS THEN
            RAISE WARNING USING MESSAGE = concat(
                'the encoder of ', one.label, ' was not made again: ', SQLERRM);
        END;
    END LOOP;
    FOR one IN
        SELECT DISTINCT t.tgrelid::regclass::text AS title
        FROM pg_trigger AS t JOIN pg_proc AS p ON p.oid = t.tgfoid
        WHERE p.pronamespace = 'bitryoshka'::regnamespace AND NOT t.tgisinternal
            AND p.proname::text ~ '^fill_column_[0-9]+$'
    LOOP
        RAISE WARNING USING MESSAGE = concat(
            'a trigger of ', one.title, ' calls a function of an earlier revision: attach its ',
            'column again, or drop the trigger');
    END LOOP;
END
$$;
COMMENT ON FUNCTION bitryoshka.renew_functions() IS
'Make the functions of all code columns and the encoders of create_encoder again, those that the
caller may: after ALTER EXTENSION bitryoshka UPDATE, or where pgvector was moved.';

CREATE OR REPLACE FUNCTION bitryoshka.drop_if_possible(called text) RETURNS void
LANGUAGE plpgsql STRICT
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '100ms'
AS $$
BEGIN
    EXECUTE concat('DROP FUNCTION IF EXISTS ', called);
EXCEPTION WHEN dependent_objects_still_exist OR insufficient_privilege OR wrong_object_type
    OR lock_not_available
THEN
    -- somebody's view uses it, or it is somebody else's: it does no harm
    NULL;
END
$$;
COMMENT ON FUNCTION bitryoshka.drop_if_possible(text) IS
'Drop a function that is not needed any more, unless it is in use.';

CREATE OR REPLACE FUNCTION bitryoshka.forget_dropped_tables() RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    made regprocedure;
BEGIN
    FOR made IN
        SELECT p.oid
        FROM bitryoshka.columns AS c
        JOIN pg_proc AS p
            ON split_part(p.proname::text, '_', 3) = c.id::text
            AND p.proname::text ~ '^bitryoshka_(fill|encode)_[0-9]+_[0-9a-f]{8}$'
        WHERE p.prokind = 'f' AND NOT EXISTS (SELECT FROM pg_class AS r WHERE r.oid = c.relation)
            AND NOT EXISTS (
                SELECT FROM pg_trigger AS t JOIN pg_proc AS f ON f.oid = t.tgfoid
                WHERE f.pronamespace = p.pronamespace
                    AND f.proname::text = replace(p.proname::text, '_encode_', '_fill_'))
            AND pg_has_role(current_user, p.proowner, 'USAGE')
    LOOP
        PERFORM bitryoshka.drop_if_possible(made::text);
    END LOOP;
    DELETE FROM bitryoshka.columns AS c
    WHERE NOT EXISTS (SELECT FROM pg_class AS r WHERE r.oid = c.relation);
END
$$;
COMMENT ON FUNCTION bitryoshka.forget_dropped_tables() IS
'Remove the entries of tables that were dropped, and the functions that their triggers had.';
