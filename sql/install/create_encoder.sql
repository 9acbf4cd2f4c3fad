CREATE FUNCTION bitryoshka.create_encoder(codec text) RETURNS regprocedure
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET extra_float_digits = 1
AS $$
DECLARE
    one bitryoshka.codecs;
    name text;
    scale text := '-1';
    weights text;
    thresholds text;
    steps text;
    halves text;
    picked text;
    masks text;
    body text;
BEGIN
    SELECT * INTO one FROM bitryoshka.codecs WHERE label = codec;
    IF one.id IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'undefined_object',
            MESSAGE = concat('there is no codec ', quote_literal(codec)),
            HINT = 'SELECT label FROM bitryoshka.codecs lists them; a label is name@version.';
    END IF;
    name := concat('bitryoshka.', quote_ident(concat('encode_', one.name, '_', one.version)));
    IF one.metric = 'cosine' THEN
        scale := '-1 / nullif(vector_norm(input), 0)';
    END IF;
    SELECT
        array_agg(w.weights ORDER BY w.dimension)::text,
        array_agg(w.threshold ORDER BY w.dimension)::text,
        array_agg(w.step ORDER BY w.dimension)::text,
        array_agg((1 << (w.planes - 1))::double precision ORDER BY w.dimension)::text
    INTO weights, thresholds, steps, halves
    FROM bitryoshka.weights AS w
    WHERE w.codec_id = one.id AND w.role = 'row' AND w.cut = 0;
    SELECT
        array_agg(b.dimension + 1 ORDER BY b.position)::text,
        array_agg(b.mask ORDER BY b.position)::text
    INTO picked, masks
    FROM bitryoshka.code_bits AS b
    WHERE b.codec_id = one.id AND b.position >= one.hamming_bits;
    body := concat(
        'DECLARE scale double precision := ', scale, ';',
        CASE WHEN one.bits > one.hamming_bits THEN ' digits text; numbers integer[];' END,
        ' BEGIN IF scale IS NULL OR vector_dims(input) <> ', one.dimensions,
        ' THEN PERFORM bitryoshka.find_codec(', quote_literal(codec), ', input); END IF; ');
    IF one.bits = one.hamming_bits THEN
        body := concat(body,
            'RETURN (SELECT string_agg(CASE WHEN (w <#> input) * scale > t THEN ''1'' ',
            'ELSE ''0'' END, '''') FROM (SELECT unnest(', quote_literal(weights),
            '::vector[]) AS w, unnest(', quote_literal(thresholds), '::real[]) AS t) AS x',
            ')::varbit; END');
    ELSE
        body := concat(body,
            'SELECT string_agg(CASE WHEN z > 0 THEN ''1'' ELSE ''0'' END, ''''), ',
            'array_agg((least(greatest(ceil(z / step), 1 - half), half) + half - 1)::integer) ',
            'INTO digits, numbers FROM (SELECT (w <#> input) * scale - t AS z, step, half FROM (',
            'SELECT unnest(', quote_literal(weights), '::vector[]) AS w, unnest(',
            quote_literal(thresholds), '::real[]) AS t, unnest(', quote_literal(steps),
            '::real[]) AS step, unnest(', quote_literal(halves),
            '::double precision[]) AS half) AS x OFFSET 0) AS y; ',
            'RETURN (SELECT digits || string_agg(CASE WHEN numbers[d] & m <> 0 THEN ''1'' ',
            'ELSE ''0'' END, '''') FROM (SELECT unnest(', quote_literal(picked),
            '::integer[]) AS d, unnest(', quote_literal(masks), '::integer[]) AS m) AS x',
            ')::varbit; END');
    END IF;
    EXECUTE concat(
        'CREATE OR REPLACE FUNCTION ', name, '(input vector) RETURNS bit ',
        'LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE COST 20000 SET search_path FROM CURRENT ',
        'AS ', quote_literal(body));
    EXECUTE concat(
        'COMMENT ON FUNCTION ', name, '(vector) IS ', quote_literal(concat(
            'encode(''', codec, ''', input) with the weights as constants, for generated columns ',
            'and expression indexes. Fingerprint ', one.fingerprint, '.')));
    RETURN concat(name, '(vector)')::regprocedure;
END
$$;
COMMENT ON FUNCTION bitryoshka.create_encoder(text) IS
'Make the IMMUTABLE function encode_NAME_VERSION(vector), whose body holds the codec''s weights: for
generated columns and expression indexes, and faster in bulk than encode. Its first use in a
session reads all weights as text, which takes tens of milliseconds.';
