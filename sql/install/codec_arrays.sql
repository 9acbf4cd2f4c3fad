-- IMMUTABLE although they read tables: those refuse every change, and no id is given twice. So the
-- encoder of a column has its codec's arrays as constants of its plan, read once a session.
CREATE OR REPLACE FUNCTION bitryoshka.codec_weights(codec_id integer) RETURNS {pgvector}.vector[]
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found {pgvector}.vector[] := (
        SELECT array_agg(w.weights ORDER BY w.dimension) FROM bitryoshka.weights AS w
        WHERE w.codec_id = codec_weights.codec_id AND w.role = 'row' AND w.cut = 0);
BEGIN
    IF found IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'undefined_object',
            MESSAGE = concat('there is no codec with id ', codec_id);
    END IF;
    RETURN found;
END
$$;
COMMENT ON FUNCTION bitryoshka.codec_weights(integer) IS
'The weights of a codec''s projected dimensions, in their order.';

CREATE OR REPLACE FUNCTION bitryoshka.codec_numbers(codec_id integer, kind text)
    RETURNS double precision[]
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF kind IN ('threshold', 'step', 'half') THEN
        RETURN (
            SELECT array_agg(
                CASE kind
                    WHEN 'threshold' THEN w.threshold
                    WHEN 'step' THEN w.step
                    ELSE 1 << (w.planes - 1)
                END::double precision ORDER BY w.dimension)
            FROM bitryoshka.weights AS w
            WHERE w.codec_id = codec_numbers.codec_id AND w.role = 'row' AND w.cut = 0);
    END IF;
    RETURN (
        SELECT array_agg(
            CASE kind WHEN 'mask' THEN b.mask ELSE b.dimension + 1 END::double precision
            ORDER BY b.position)
        FROM bitryoshka.code_bits AS b
        JOIN bitryoshka.codecs AS c ON c.id = b.codec_id
        WHERE b.codec_id = codec_numbers.codec_id AND b.position >= c.hamming_bits);
END
$$;
COMMENT ON FUNCTION bitryoshka.codec_numbers(integer, text) IS
'Of each projected dimension of a codec: its threshold, its step, or half its number of steps
(kind threshold, step, half); of each precision bit: the place of its dimension from 1, or its
mask (kind place, mask).';
