CREATE OR REPLACE FUNCTION bitryoshka.encode_query(
    codec text, input anycompatible, bits integer DEFAULT NULL
) RETURNS bit
LANGUAGE plpgsql STABLE PARALLEL SAFE COST 20000
SET search_path = pg_catalog, pg_temp
SET enable_sort = off
SET enable_bitmapscan = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    query {pgvector}.vector := input::{pgvector}.vector;
    one bitryoshka.codecs := bitryoshka.find_codec(codec, query);
    length integer := coalesce(bits, one.hamming_bits);
    scale double precision := -1;
    weights_role text;
    thresholds_role text;
    thresholds real[];
    digits text;
BEGIN
    IF codec IS NULL OR query IS NULL THEN
        RETURN NULL;
    END IF;
    IF NOT (length = ANY (one.nested_bits) AND length <= one.hamming_bits) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = concat('bits must be one of ', one.nested_bits::text, ' up to ',
                one.hamming_bits, ', found ', length);
    END IF;
    IF one.metric = 'cosine' THEN
        scale := -1 / {pgvector}.vector_norm(query);
    END IF;
    -- queries may have weights of their own, thresholds of their own, or both
    SELECT
        CASE WHEN w.weights IS NULL THEN 'row' ELSE 'query bits' END,
        CASE WHEN w.threshold IS NULL THEN 'row' ELSE 'query bits' END
    INTO weights_role, thresholds_role
    FROM (VALUES (true)) AS always
    LEFT JOIN bitryoshka.weights AS w
        ON w.codec_id = one.id AND w.role = 'query bits' AND w.cut = 0 AND w.dimension = 0;
    SELECT array_agg(w.threshold) INTO thresholds
    FROM (
        SELECT threshold FROM bitryoshka.weights
        WHERE codec_id = one.id AND role = thresholds_role AND cut = 0
        ORDER BY dimension
    ) AS w;
    SELECT string_agg(
        CASE WHEN (w.weights
            OPERATOR({pgvector}.<#>) query) * scale > thresholds[w.dimension + 1]
            THEN '1' ELSE '0' END,
        '')
    INTO digits
    FROM (
        SELECT weights, dimension FROM bitryoshka.weights
        WHERE codec_id = one.id AND role = weights_role AND cut = 0 AND dimension < length
        ORDER BY dimension
    ) AS w;
    IF digits IS NULL THEN
        PERFORM bitryoshka.refuse_incomplete(one.id);
    END IF;
    RETURN digits::varbit;
END
$$;
COMMENT ON FUNCTION bitryoshka.encode_query(text, anycompatible, integer) IS
'The first bits of a query (by default the codec''s hamming_bits), to be compared by Hamming
distance with equally long beginnings of stored codes. They may differ from the bits of the same
vector as a row: queries have thresholds of their own. input: a vector, a halfvec, an array, or the
text of one.';
