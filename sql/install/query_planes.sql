CREATE OR REPLACE FUNCTION bitryoshka.planes_of(weights double precision[], unit double precision)
    RETURNS bit[]
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT ARRAY[
            string_agg(CASE WHEN l.level & 128 <> 0 THEN '1' ELSE '0' END, '')::varbit,
            string_agg(CASE WHEN l.level & 64 <> 0 THEN '1' ELSE '0' END, '')::varbit,
            string_agg(CASE WHEN l.level & 32 <> 0 THEN '1' ELSE '0' END, '')::varbit,
            string_agg(CASE WHEN l.level & 16 <> 0 THEN '1' ELSE '0' END, '')::varbit,
            string_agg(CASE WHEN l.level & 8 <> 0 THEN '1' ELSE '0' END, '')::varbit,
            string_agg(CASE WHEN l.level & 4 <> 0 THEN '1' ELSE '0' END, '')::varbit,
            string_agg(CASE WHEN l.level & 2 <> 0 THEN '1' ELSE '0' END, '')::varbit,
            string_agg(CASE WHEN l.level & 1 <> 0 THEN '1' ELSE '0' END, '')::varbit
        ]
        FROM (
            SELECT least(greatest(floor(w / (2 * unit) + 128), 0), 255)::integer AS level
            FROM unnest(weights) AS w
            OFFSET 0
        ) AS l
    );
END
$$;
COMMENT ON FUNCTION bitryoshka.planes_of(double precision[], double precision) IS
'Weights, rounded to odd multiples of a unit, as 8 bit strings, the most significant first.';

CREATE OR REPLACE FUNCTION bitryoshka.query_planes(
    codec text, input anycompatible, bits integer DEFAULT NULL
) RETURNS bit[]
LANGUAGE plpgsql STABLE PARALLEL SAFE COST 50000
SET search_path = pg_catalog, pg_temp
SET enable_sort = off
SET enable_bitmapscan = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    query {pgvector}.vector := input::{pgvector}.vector;
    one bitryoshka.codecs := bitryoshka.find_codec(codec, query);
    length integer := coalesce(bits, one.bits);
    levels real[];
    projected double precision[];
    bit_weights double precision[];
    unit double precision;
    scale double precision := -1;
BEGIN
    IF codec IS NULL OR query IS NULL THEN
        RETURN NULL;
    END IF;
    IF NOT length = ANY (one.nested_bits) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = concat('bits must be one of ', one.nested_bits::text, ', found ', length);
    END IF;
    IF one.metric = 'cosine' THEN
        scale := -1 / {pgvector}.vector_norm(query);
    END IF;
    SELECT array_agg((w.weights OPERATOR({pgvector}.<#>) query) * scale) INTO bit_weights
    FROM (
        SELECT weights FROM bitryoshka.weights
        WHERE codec_id = one.id AND role = 'query weights' AND cut = length
        ORDER BY dimension
    ) AS w;
    -- a codec without weights for queries weighs each bit as its projected dimension and its level
    IF bit_weights IS NULL THEN
        SELECT l.levels::real[] INTO levels
        FROM bitryoshka.cuts AS l WHERE l.codec_id = one.id AND l.bits = length;
        SELECT array_agg((w.weights OPERATOR({pgvector}.<#>) query) * scale) INTO projected
        FROM (
            SELECT weights FROM bitryoshka.weights
            WHERE codec_id = one.id AND role = 'row' AND cut = 0
            ORDER BY dimension
        ) AS w;
        SELECT array_agg(projected[b.dimension + 1] * levels[b.position + 1]) INTO bit_weights
        FROM (
            SELECT dimension, position FROM bitryoshka.code_bits
            WHERE codec_id = one.id AND position < length
            ORDER BY position
        ) AS b;
    END IF;
    IF bit_weights IS NULL OR array_position(bit_weights, NULL) IS NOT NULL THEN
        PERFORM bitryoshka.refuse_incomplete(one.id);
    END IF;
    unit := (SELECT coalesce(nullif(max(abs(w)), 0) / 255, 1) FROM unnest(bit_weights) AS w);
    RETURN bitryoshka.planes_of(bit_weights, unit);
END
$$;
COMMENT ON FUNCTION bitryoshka.query_planes(text, anycompatible, integer) IS
'The weights that a query gives to each bit of a code, rounded to 8 bits and split into 8 bit
strings, the most significant first, for asymmetric_score. bits: one of the codec''s nested_bits,
to score codes that are cut there; by default the whole code.';
