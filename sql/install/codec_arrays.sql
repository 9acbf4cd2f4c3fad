-- IMMUTABLE although they read tables: those refuse every change, and no id is given twice. So the
-- encoder of a column has its codec's arrays as constants of its plan, read once a session. It names
-- its codec by the fingerprint: a database that was restored may give the id to another.
CREATE OR REPLACE FUNCTION bitryoshka.codec_of(fingerprint text, label text) RETURNS integer
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found integer := (
        SELECT min(k.id) FROM bitryoshka.codecs AS k WHERE k.fingerprint = codec_of.fingerprint);
BEGIN
    IF found IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'undefined_object',
            MESSAGE = concat('there is no codec with fingerprint ', fingerprint,
                ' in this database, which was registered as ', label),
            HINT = 'Register the same binarizer: bitryoshka register.';
    END IF;
    RETURN found;
END
$$;
COMMENT ON FUNCTION bitryoshka.codec_of(text, text) IS
'Id of a codec with a fingerprint; an error where there is none, which names the label that it had.';

CREATE OR REPLACE FUNCTION bitryoshka.refuse_incomplete(codec_id integer) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION USING
        ERRCODE = 'data_corrupted',
        MESSAGE = concat('codec ', (
            SELECT k.label FROM bitryoshka.codecs AS k WHERE k.id = refuse_incomplete.codec_id
        ), ' is incomplete: rows of it are missing from the tables of schema bitryoshka'),
        HINT = 'Register the same binarizer under its name and version: this writes what is missing.';
END
$$;
COMMENT ON FUNCTION bitryoshka.refuse_incomplete(integer) IS
'The error of a codec that was restored in part.';

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
        PERFORM bitryoshka.refuse_incomplete(codec_id);
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
DECLARE
    found double precision[];
BEGIN
    IF kind IN ('threshold', 'query threshold', 'step', 'half') THEN
        SELECT array_agg(
            CASE codec_numbers.kind
                WHEN 'step' THEN w.step
                WHEN 'half' THEN 1 << (w.planes - 1)
                ELSE w.threshold
            END::double precision ORDER BY w.dimension)
        INTO found
        FROM bitryoshka.weights AS w
        WHERE w.codec_id = codec_numbers.codec_id AND w.cut = 0
            AND w.role = CASE codec_numbers.kind WHEN 'query threshold'
                THEN 'query bits' ELSE 'row' END;
    ELSIF kind = 'level' THEN
        SELECT l.levels::real[] INTO found
        FROM bitryoshka.codecs AS k
        JOIN bitryoshka.cuts AS l ON l.codec_id = k.id AND l.bits = k.bits
        WHERE k.id = codec_numbers.codec_id;
    ELSE
        SELECT array_agg(
            CASE codec_numbers.kind WHEN 'mask' THEN b.mask ELSE b.dimension + 1 END::double precision
            ORDER BY b.position)
        INTO found
        FROM bitryoshka.code_bits AS b
        JOIN bitryoshka.codecs AS c ON c.id = b.codec_id
        WHERE b.codec_id = codec_numbers.codec_id
            AND (codec_numbers.kind = 'dimension' OR b.position >= c.hamming_bits);
    END IF;
    IF found IS NULL THEN
        PERFORM bitryoshka.refuse_incomplete(codec_id);
    END IF;
    RETURN found;
END
$$;
COMMENT ON FUNCTION bitryoshka.codec_numbers(integer, text) IS
'Of each projected dimension of a codec: its threshold, that for queries, its step, or half its number
of steps (kind threshold, query threshold, step, half); of each precision bit: the place of its
dimension from 1, or its mask (kind place, mask); of each bit of a whole code: the place of its
dimension from 1, or its decoding level (kind dimension, level).';
