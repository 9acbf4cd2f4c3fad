CREATE FUNCTION bitryoshka.create_column_functions(column_id integer) RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    entry bitryoshka.columns;
    one bitryoshka.codecs;
    title text;
    pgvector text;
    vector_type text;
    dimensions integer;
    code text;
    vectors text;
    arrays text;
    body text;
    has_code text := 'true';
BEGIN
    SELECT c.* INTO entry FROM bitryoshka.columns AS c WHERE c.id = column_id;
    SELECT k.* INTO one FROM bitryoshka.codecs AS k WHERE k.id = entry.codec_id;
    SELECT quote_ident(n.nspname) INTO pgvector
    FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace
    WHERE e.extname = 'vector';
    SELECT concat(n.nspname, '.', r.relname), y.typname, a.atttypmod
    INTO title, vector_type, dimensions
    FROM pg_attribute AS a
    JOIN pg_class AS r ON r.oid = a.attrelid
    JOIN pg_namespace AS n ON n.oid = r.relnamespace
    JOIN pg_type AS y ON y.oid = a.atttypid
    WHERE a.attrelid = entry.relation AND a.attname = entry.vector_column;
    code := quote_ident(entry.code_column);
    vectors := concat('NEW.', quote_ident(entry.vector_column));
    arrays := concat('bitryoshka.codec_numbers(', one.id, ', ');

    IF one.bits = one.hamming_bits THEN
        body := concat('
    RETURN (
        SELECT string_agg(CASE WHEN (w <#> input) * scale > t THEN ''1'' ELSE ''0'' END, '''')
        FROM (
            SELECT
                unnest(bitryoshka.codec_weights(', one.id, ')) AS w,
                unnest(', arrays, '''threshold'')) AS t
        ) AS x
    )::varbit;');
    ELSE
        body := concat('
    SELECT
        string_agg(CASE WHEN z > 0 THEN ''1'' ELSE ''0'' END, ''''),
        array_agg((least(greatest(ceil(z / step), 1 - half), half) + half - 1)::integer)
    INTO digits, numbers
    FROM (
        SELECT (w <#> input) * scale - t AS z, step, half
        FROM (
            SELECT
                unnest(bitryoshka.codec_weights(', one.id, ')) AS w,
                unnest(', arrays, '''threshold'')) AS t,
                unnest(', arrays, '''step'')) AS step,
                unnest(', arrays, '''half'')) AS half
        ) AS x
        OFFSET 0
    ) AS y;
    RETURN (
        SELECT digits || string_agg(
            CASE WHEN numbers[d] & m <> 0 THEN ''1'' ELSE ''0'' END, '''')
        FROM (
            SELECT
                unnest(', arrays, '''place'')::integer[]) AS d,
                unnest(', arrays, '''mask'')::integer[]) AS m
        ) AS x
    )::varbit;');
    END IF;
    EXECUTE concat(
        'CREATE OR REPLACE FUNCTION bitryoshka.encode_column_', column_id,
        '(input ', pgvector, '.vector) RETURNS bit ',
        'LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE COST 20000 ',
        'SET search_path = pg_catalog, ', pgvector, ', pg_temp ',
        'SET plan_cache_mode = force_generic_plan AS ', quote_literal(concat('
DECLARE
    scale double precision := ',
            CASE one.metric
                WHEN 'cosine' THEN '-1 / nullif(vector_norm(input), 0)' ELSE '-1'
            END, ';
    digits text;
    numbers integer[];
BEGIN
    IF scale IS NULL OR vector_dims(input) <> ', one.dimensions, ' THEN
        PERFORM bitryoshka.find_codec(', quote_literal(one.label), ', input);
    END IF;', body, '
END
')));

    IF entry.bad_vectors = 'skip' THEN
        has_code := concat_ws(' AND ',
            CASE WHEN dimensions = -1
                THEN concat('vector_dims(', vectors, ') = ', one.dimensions) END,
            CASE WHEN one.metric = 'cosine'
                THEN concat('vector_norm(', vectors, '::vector) > 0') END);
        has_code := coalesce(nullif(has_code, ''), 'true');
    END IF;
    -- what is compared stands here and not in the trigger's WHEN: a dump could not restore an
    -- operator of pgvector there
    EXECUTE concat(
        'CREATE OR REPLACE FUNCTION bitryoshka.fill_column_', column_id, '() RETURNS trigger ',
        'LANGUAGE plpgsql SET search_path = pg_catalog, ', pgvector, ', pg_temp AS ',
        quote_literal(concat('
BEGIN
    IF TG_OP = ''UPDATE'' THEN
        IF OLD.', quote_ident(entry.vector_column), ' IS NOT DISTINCT FROM ', vectors, ' AND (
            OLD.', code, ' IS NOT DISTINCT FROM NEW.', code, '
            -- the backfill writes codes that it has made already
            OR current_setting(''bitryoshka.backfill'', true) = ''on''
        ) THEN
            RETURN NEW;
        END IF;
    END IF;
    NEW.', code, ' := CASE WHEN ', has_code, ' THEN bitryoshka.encode_column_', column_id, '(',
            vectors, CASE WHEN vector_type <> 'vector' THEN '::vector' END, ') END;
    RETURN NEW;
END
')));
    EXECUTE concat(
        'COMMENT ON FUNCTION bitryoshka.fill_column_', column_id, '() IS ', quote_literal(concat(
            'Trigger: codes of ', one.label, ' for a column of ', title, '.')));
END
$$;
COMMENT ON FUNCTION bitryoshka.create_column_functions(integer) IS
'Make or replace the encoder and the trigger function of a code column, as its entry in
bitryoshka.columns says.';
