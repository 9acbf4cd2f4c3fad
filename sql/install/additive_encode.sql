-- The encoder that takes any codec reads its tables for every vector, in the order of an index.
DO $$
DECLARE
    body text := bitryoshka.additive_body();
BEGIN
    body := replace(body, '{projection}', '(
        SELECT w.weights, w.threshold FROM bitryoshka.weights AS w
        WHERE w.codec_id = {codec} AND w.role = ''row'' AND w.cut = 0
        ORDER BY w.dimension
    )');
    body := replace(body, '{decoder}', '(
        SELECT d.weights, length_weights[array_position(lengths, d.bits)]
        FROM bitryoshka.decoder AS d
        WHERE d.codec_id = {codec}
        ORDER BY d.bits, d.position
    )');
    body := replace(body, '{gram}', '(
        SELECT g.products FROM bitryoshka.gram AS g
        WHERE g.codec_id = {codec}
        ORDER BY g.position
    )');
    body := replace(body, '{gram row}', '(
                SELECT g.products FROM bitryoshka.gram AS g
                WHERE g.codec_id = {codec} AND g.position = place - 1)');
    EXECUTE concat(
        'CREATE FUNCTION bitryoshka.additive_encode(codec_id integer, input vector, ',
        'scale double precision) RETURNS bit ',
        'LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE COST 100000 SET search_path FROM CURRENT ',
        'SET enable_sort = off SET enable_bitmapscan = off ',
        'SET plan_cache_mode = force_generic_plan AS ',
        quote_literal(replace(body, '{codec}', 'additive_encode.codec_id')));
END
$$;
COMMENT ON FUNCTION bitryoshka.additive_encode(integer, vector, double precision) IS
'What encode does for an additive codec, and a vector that fits it; scale: -1 / its length, or -1
where the codec compares by inner product.';

CREATE OR REPLACE FUNCTION bitryoshka.encode(codec text, input vector) RETURNS bit
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE COST 20000
SET search_path FROM CURRENT
AS $$
DECLARE
    one bitryoshka.codecs;
BEGIN
    IF NOT EXISTS (
        SELECT FROM bitryoshka.codecs AS c JOIN bitryoshka.additive AS a ON a.codec_id = c.id
        WHERE c.label = codec
    ) THEN
        RETURN bitryoshka.progressive_encode(codec, input);
    END IF;
    one := bitryoshka.find_codec(codec, input);
    RETURN bitryoshka.additive_encode(
        one.id,
        input,
        CASE one.metric WHEN 'cosine' THEN -1 / vector_norm(input) ELSE -1 END);
END
$$;
COMMENT ON FUNCTION bitryoshka.encode(text, vector) IS
'Code of a vector: encode(''docs@1'', embedding). NULL gives NULL; a vector of another dimension,
and a zero vector where the codec compares by cosine, is an error. The bits are those that
Binarizer.encode gives in Python, but for projected values within rounding of a threshold; by an
additive codec, for bits of which either choice is as good, within rounding.';
