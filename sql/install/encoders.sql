CREATE OR REPLACE FUNCTION bitryoshka.progressive_encoder(one bitryoshka.codecs) RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    product text := concat(
        '(w OPERATOR(', bitryoshka.pgvector(), '.<#>) input) * scale');
    body text;
BEGIN
    IF one.bits = one.hamming_bits THEN
        body := '
    RETURN (
        SELECT string_agg(CASE WHEN {product} > t THEN ''1'' ELSE ''0'' END, '''')
        FROM (
            SELECT
                unnest(bitryoshka.codec_weights({codec})) AS w,
                unnest(bitryoshka.codec_numbers({codec}, ''threshold'')) AS t
        ) AS x
    )::varbit;';
    ELSE
        body := '
    DECLARE
        digits text;
        numbers integer[];
    BEGIN
        SELECT
            string_agg(CASE WHEN z > 0 THEN ''1'' ELSE ''0'' END, ''''),
            array_agg((least(greatest(ceil(z / step), 1 - half), half) + half - 1)::integer)
        INTO digits, numbers
        FROM (
            SELECT {product} - t AS z, step, half
            FROM (
                SELECT
                    unnest(bitryoshka.codec_weights({codec})) AS w,
                    unnest(bitryoshka.codec_numbers({codec}, ''threshold'')) AS t,
                    unnest(bitryoshka.codec_numbers({codec}, ''step'')) AS step,
                    unnest(bitryoshka.codec_numbers({codec}, ''half'')) AS half
            ) AS x
            OFFSET 0
        ) AS y;
        RETURN (
            SELECT digits || string_agg(
                CASE WHEN numbers[d] & m <> 0 THEN ''1'' ELSE ''0'' END, '''')
            FROM (
                SELECT
                    unnest(bitryoshka.codec_numbers({codec}, ''place'')::integer[]) AS d,
                    unnest(bitryoshka.codec_numbers({codec}, ''mask'')::integer[]) AS m
            ) AS x
        )::varbit;
    END;';
    END IF;
    RETURN replace(body, '{product}', product);
END
$$;
COMMENT ON FUNCTION bitryoshka.progressive_encoder(bitryoshka.codecs) IS
'What column_encoder does for a progressive codec.';

CREATE OR REPLACE FUNCTION bitryoshka.additive_encoder(one bitryoshka.codecs) RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    body text := bitryoshka.additive_body();
BEGIN
    body := replace(body, '{projection}', '(
        SELECT
            unnest(bitryoshka.codec_weights({codec})),
            unnest(bitryoshka.codec_numbers({codec}, ''threshold''))
    )');
    body := replace(body, '{decoder}', '(
        SELECT
            unnest(bitryoshka.codec_rows({codec}, ''decoder'')),
            unnest(bitryoshka.codec_factors({codec}, ''row weight''))
    )');
    -- a variable, so that the plan holds it once, and its rows are found at once
    body := replace(body, '{gram}', '(SELECT unnest(gram))');
    body := replace(body, '{gram row}', 'gram[place]');
    RETURN concat('
    DECLARE
        gram ', bitryoshka.pgvector(), '.vector[] := bitryoshka.codec_rows({codec}, ''gram'');
    BEGIN', body, '    END;');
END
$$;
COMMENT ON FUNCTION bitryoshka.additive_encoder(bitryoshka.codecs) IS
'What column_encoder does for an additive codec.';

CREATE OR REPLACE FUNCTION bitryoshka.codec_call(one bitryoshka.codecs) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT concat('bitryoshka.codec_of(', quote_literal(one.fingerprint), ', ',
        quote_literal(one.label), ')')
$$;
COMMENT ON FUNCTION bitryoshka.codec_call(bitryoshka.codecs) IS
'How the text of an encoder names its codec.';

CREATE OR REPLACE FUNCTION bitryoshka.column_encoder(one bitryoshka.codecs) RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN replace(
        concat('
DECLARE
    scale double precision := ',
            CASE one.metric
                WHEN 'cosine'
                THEN concat('-1 / nullif(', bitryoshka.pgvector(), '.vector_norm(input), 0)')
                ELSE '-1'
            END, ';
BEGIN
    IF scale IS NULL OR ', bitryoshka.pgvector(), '.vector_dims(input) <> ', one.dimensions, ' THEN
        PERFORM bitryoshka.check_vector(',
            concat_ws(', ', quote_literal(one.label), one.dimensions, quote_literal(one.metric)),
            ', input);
    END IF;',
            CASE one.kind
                WHEN 'additive' THEN bitryoshka.additive_encoder(one)
                ELSE bitryoshka.progressive_encoder(one)
            END, '
END
'),
        '{codec}',
        bitryoshka.codec_call(one));
END
$$;
COMMENT ON FUNCTION bitryoshka.column_encoder(bitryoshka.codecs) IS
'Body of a function that encodes by a codec, whose arrays are constants of its plan.';

CREATE OR REPLACE FUNCTION bitryoshka.create_encoder(codec text) RETURNS regprocedure
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET extra_float_digits = 1
AS $$
DECLARE
    one bitryoshka.codecs := bitryoshka.require_codec(codec);
    vectors text := concat(bitryoshka.pgvector(), '.vector');
    called text;
    kind text;
    content text;
    name text;
    body text;
BEGIN
    name := concat('bitryoshka.', quote_ident(concat('encode_', one.name, '_', one.version)));
    IF EXISTS (
        SELECT FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
        WHERE n.nspname = 'bitryoshka' AND p.proname = concat('encode_', one.name, '_', one.version)
            AND p.proowner <> n.nspowner
    ) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'insufficient_privilege',
            MESSAGE = concat('there is a function ', name, ' of another role');
    END IF;
    body := bitryoshka.column_encoder(one);
    FOR called, kind IN
        SELECT concat('bitryoshka.', c.name, '(', bitryoshka.codec_call(one), c.kind, ')'), c.type
        FROM (VALUES
            ('codec_weights', '', concat(vectors, '[]')),
            ('codec_numbers', ', ''threshold''', 'double precision[]'),
            ('codec_numbers', ', ''step''', 'double precision[]'),
            ('codec_numbers', ', ''half''', 'double precision[]'),
            ('codec_numbers', ', ''place''', 'double precision[]'),
            ('codec_numbers', ', ''mask''', 'double precision[]'),
            ('codec_flips', '', 'varbit'),
            ('codec_rows', ', ''decoder''', concat(vectors, '[]')),
            ('codec_rows', ', ''centre''', concat(vectors, '[]')),
            ('codec_rows', ', ''gram''', concat(vectors, '[]')),
            ('codec_rows', ', ''shift''', concat(vectors, '[]')),
            ('codec_rows', ', ''square''', concat(vectors, '[]')),
            ('codec_rows', ', ''unit''', concat(vectors, '[]')),
            ('codec_factors', ', ''length''', 'double precision[]'),
            ('codec_factors', ', ''weight''', 'double precision[]'),
            ('codec_factors', ', ''row weight''', 'double precision[]'),
            ('codec_factors', ', ''setting''', 'double precision[]')
        ) AS c (name, kind, type)
    LOOP
        CONTINUE WHEN strpos(body, called) = 0;
        EXECUTE concat('SELECT ', called, '::text') INTO STRICT content;
        body := replace(body, called, concat(quote_literal(content), '::', kind));
    END LOOP;
    EXECUTE concat(
        'CREATE OR REPLACE FUNCTION ', name, '(input ', vectors, ') RETURNS bit ',
        'LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE COST 100000 ',
        'SET search_path = pg_catalog, pg_temp AS ', quote_literal(body));
    EXECUTE concat(
        'COMMENT ON FUNCTION ', name, '(', vectors, ') IS ', quote_literal(concat(
            'encode(''', codec, ''', input) with the weights as constants, for generated columns ',
            'and expression indexes. Fingerprint ', one.fingerprint, '.')));
    EXECUTE concat(
        'CREATE OR REPLACE FUNCTION ', name, '(input ', bitryoshka.pgvector(), '.halfvec) ',
        'RETURNS bit LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 100000 AS ',
        quote_literal(concat('SELECT ', name, '(input::', vectors, ')')));
    EXECUTE concat(
        'COMMENT ON FUNCTION ', name, '(', bitryoshka.pgvector(), '.halfvec) IS ',
        quote_literal('Code of a halfvec, as that of a vector of the same numbers.'));
    EXECUTE concat('GRANT EXECUTE ON FUNCTION ', name, '(', vectors, '), ', name, '(',
        bitryoshka.pgvector(), '.halfvec) TO PUBLIC');
    RETURN concat(name, '(', vectors, ')')::regprocedure;
END
$$;
COMMENT ON FUNCTION bitryoshka.create_encoder(text) IS
'Make the IMMUTABLE function encode_NAME_VERSION(vector), whose body holds the codec''s weights, and
the same for a halfvec: for generated columns and expression indexes, and faster in bulk than
encode. Its first use in a
session reads all weights as text, which takes tens of milliseconds. Only the owner of schema
bitryoshka may.';
