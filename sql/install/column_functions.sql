CREATE OR REPLACE FUNCTION bitryoshka.column_functions(column_id integer, relation regclass)
RETURNS SETOF regprocedure
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT p.oid::regprocedure
    FROM pg_proc AS p
    WHERE (
        p.pronamespace = coalesce(
            (SELECT f.pronamespace FROM pg_trigger AS t JOIN pg_proc AS f ON f.oid = t.tgfoid
             WHERE t.tgrelid = relation AND t.tgname = concat('zz_bitryoshka_', column_id)),
            (SELECT r.relnamespace FROM pg_class AS r WHERE r.oid = relation))
        AND p.proname IN (
            concat('bitryoshka_fill_', column_id), concat('bitryoshka_encode_', column_id))
        OR p.pronamespace = 'bitryoshka'::regnamespace
        AND p.proname IN (concat('fill_column_', column_id), concat('encode_column_', column_id))
    )
        AND (p.pronargs = 0 OR p.pronargs = 1
            AND p.proargtypes[0] = concat(bitryoshka.pgvector(), '.vector')::regtype)
$$;
COMMENT ON FUNCTION bitryoshka.column_functions(integer, regclass) IS
'The functions of a code column: its trigger''s, and the encoder that this calls.';

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
        JOIN pg_proc AS p ON p.proname IN (
            concat('bitryoshka_fill_', c.id), concat('bitryoshka_encode_', c.id))
        WHERE NOT EXISTS (SELECT FROM pg_class AS r WHERE r.oid = c.relation)
            AND NOT EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgfoid = p.oid)
            AND pg_has_role(current_user, p.proowner, 'USAGE')
    LOOP
        EXECUTE concat('DROP FUNCTION ', made::text);
    END LOOP;
    DELETE FROM bitryoshka.columns AS c
    WHERE NOT EXISTS (SELECT FROM pg_class AS r WHERE r.oid = c.relation);
END
$$;
COMMENT ON FUNCTION bitryoshka.forget_dropped_tables() IS
'Remove the entries of tables that were dropped, and the functions that their triggers had.';

CREATE OR REPLACE FUNCTION bitryoshka.create_column_functions(
    column_id integer, again boolean DEFAULT false
) RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    entry bitryoshka.columns;
    one bitryoshka.codecs;
    pgvector text := bitryoshka.pgvector();
    home text;
    encoder text;
    trigger_function text;
    vector_type text;
    dimensions integer;
    code text;
    vector_column text;
    input text;
    has_code text := 'true';
    making text := CASE WHEN again THEN 'CREATE OR REPLACE' ELSE 'CREATE' END;
BEGIN
    SELECT c.* INTO entry FROM bitryoshka.columns AS c WHERE c.id = column_id;
    SELECT k.* INTO one FROM bitryoshka.codecs AS k WHERE k.id = entry.codec_id;
    SELECT v.kind, v.dimensions INTO vector_type, dimensions
    FROM bitryoshka.vector_type(entry.relation, entry.vector_column) AS v;
    SELECT quote_ident(n.nspname::text) INTO home
    FROM pg_namespace AS n
    WHERE n.oid = coalesce(
        (SELECT p.pronamespace FROM bitryoshka.column_functions(column_id, entry.relation) AS f
         JOIN pg_proc AS p ON p.oid = f
         WHERE p.proname = concat('bitryoshka_fill_', column_id)),
        (SELECT r.relnamespace FROM pg_class AS r WHERE r.oid = entry.relation));
    encoder := concat(home, '.bitryoshka_encode_', column_id);
    trigger_function := concat(home, '.bitryoshka_fill_', column_id, '()');
    EXECUTE concat(
        making, ' FUNCTION ', encoder, '(input ', pgvector, '.vector) RETURNS bit ',
        'LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE COST 100000 ',
        'SET search_path = pg_catalog, pg_temp ',
        'SET plan_cache_mode = force_generic_plan AS ',
        quote_literal(bitryoshka.column_encoder(one)));

    code := quote_ident(entry.code_column::text);
    vector_column := quote_ident(entry.vector_column::text);
    input := concat('NEW.', vector_column);
    IF vector_type <> 'vector' THEN
        input := concat('(', input, '::', pgvector, '.vector)');
    END IF;
    IF entry.bad_vectors = 'skip' THEN
        has_code := concat_ws(' AND ',
            CASE WHEN dimensions = -1
                THEN concat(pgvector, '.vector_dims(', input, ') = ', one.dimensions) END,
            CASE WHEN one.metric = 'cosine'
                THEN concat(pgvector, '.vector_norm(', input, ') > 0') END);
        has_code := coalesce(nullif(has_code, ''), 'true');
    END IF;
    -- what is compared stands here and not in the trigger's WHEN: a dump could not restore an
    -- operator of pgvector there
    EXECUTE concat(
        making, ' FUNCTION ', trigger_function, ' RETURNS trigger ',
        'LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS ',
        quote_literal(concat('
BEGIN
    IF TG_OP = ''UPDATE'' THEN
        IF coalesce(
            OLD.', vector_column, ' OPERATOR(', pgvector, '.=) NEW.', vector_column, ',
            OLD.', vector_column, ' IS NULL AND NEW.', vector_column, ' IS NULL
        ) AND (
            OLD.', code, ' IS NOT DISTINCT FROM NEW.', code, '
            -- the backfill writes codes that it has made already
            OR current_setting(''bitryoshka.backfill'', true) = ''on''
        ) THEN
            RETURN NEW;
        END IF;
    END IF;
    NEW.', code, ' := CASE WHEN ', has_code, ' THEN ', encoder, '(', input, ') END;
    RETURN NEW;
END
')));
    EXECUTE concat(
        'COMMENT ON FUNCTION ', trigger_function, ' IS ', quote_literal(concat(
            'Trigger: codes of ', one.label, ' for a column of ', bitryoshka.title(entry.relation),
            '.')));
    RETURN trigger_function;
END
$$;
COMMENT ON FUNCTION bitryoshka.create_column_functions(integer, boolean) IS
'Make the encoder and the trigger function of a code column, as its entry in bitryoshka.columns
says, in the schema of its table; an error where functions of these names are there, unless they
are to be made again. Gives the trigger function.';
