CREATE OR REPLACE FUNCTION bitryoshka.progressive_encode(codec text, input {pgvector}.vector)
    RETURNS bit
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE COST 20000
SET search_path = pg_catalog, pg_temp
-- the weights come in order from their index, planned once: a sort would cost more than the product
SET enable_sort = off
SET enable_bitmapscan = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    found_id integer;
    wanted integer;
    signs integer;
    length integer;
    cosine boolean;
    scale double precision := -1;
    digits text;
    numbers integer[];
BEGIN
    SELECT c.id, c.dimensions, c.hamming_bits, c.bits, c.metric = 'cosine'
    INTO found_id, wanted, signs, length, cosine
    FROM bitryoshka.codecs AS c WHERE c.label = codec;
    IF cosine THEN
        scale := -1 / nullif({pgvector}.vector_norm(input), 0);
    END IF;
    IF found_id IS NULL OR wanted <> {pgvector}.vector_dims(input) OR scale IS NULL THEN
        PERFORM bitryoshka.find_codec(codec, input);
    END IF;
    IF length = signs THEN
        SELECT string_agg(
            CASE WHEN (w.weights
                OPERATOR({pgvector}.<#>) input) * scale > w.threshold THEN '1' ELSE '0' END, '')
        INTO digits
        FROM (
            SELECT weights, threshold FROM bitryoshka.weights
            WHERE codec_id = found_id AND role = 'row' AND cut = 0
            ORDER BY dimension
        ) AS w;
        IF digits IS NULL THEN
            PERFORM bitryoshka.refuse_incomplete(found_id);
        END IF;
        RETURN digits::varbit;
    END IF;
    -- OFFSET 0 keeps the product from being made once for the sign and once for the number
    SELECT
        string_agg(CASE WHEN w.z > 0 THEN '1' ELSE '0' END, ''),
        array_agg(
            (least(greatest(ceil(w.z / w.step), 1 - w.half), w.half) + w.half - 1)::integer)
    INTO digits, numbers
    FROM (
        SELECT
            (weights OPERATOR({pgvector}.<#>) input) * scale - threshold AS z,
            step,
            1 << (planes - 1) AS half
        FROM bitryoshka.weights
        WHERE codec_id = found_id AND role = 'row' AND cut = 0
        ORDER BY dimension
        OFFSET 0
    ) AS w;
    digits := digits || (
        SELECT string_agg(
            CASE WHEN numbers[b.dimension + 1] & b.mask <> 0 THEN '1' ELSE '0' END, '')
        FROM (
            SELECT dimension, mask FROM bitryoshka.code_bits
            WHERE codec_id = found_id AND position >= signs
            ORDER BY position
        ) AS b
    );
    IF digits IS NULL THEN
        PERFORM bitryoshka.refuse_incomplete(found_id);
    END IF;
    RETURN digits::varbit;
END
$$;
COMMENT ON FUNCTION bitryoshka.progressive_encode(text, {pgvector}.vector) IS
'What encode does for a progressive codec.';
