-- IMMUTABLE as codec_weights is, and for the same reason
CREATE OR REPLACE FUNCTION bitryoshka.codec_rows(codec_id integer, kind text)
    RETURNS {pgvector}.vector[]
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found {pgvector}.vector[];
BEGIN
    IF kind = 'decoder' THEN
        SELECT array_agg(d.weights ORDER BY d.bits, d.position) INTO found
        FROM bitryoshka.decoder AS d WHERE d.codec_id = codec_rows.codec_id;
    ELSIF kind = 'centre' THEN
        SELECT array_agg(l.centre ORDER BY l.bits) INTO found
        FROM bitryoshka.additive_lengths AS l WHERE l.codec_id = codec_rows.codec_id;
    ELSIF kind = 'gram' THEN
        SELECT array_agg(g.products ORDER BY g.position) INTO found
        FROM bitryoshka.gram AS g WHERE g.codec_id = codec_rows.codec_id;
    ELSIF kind = 'shift' THEN
        SELECT ARRAY[array_agg(g.shift ORDER BY g.position)::{pgvector}.vector] INTO found
        FROM bitryoshka.gram AS g WHERE g.codec_id = codec_rows.codec_id;
    ELSIF kind = 'square' THEN
        SELECT ARRAY[array_agg(g.square ORDER BY g.position)::{pgvector}.vector] INTO found
        FROM bitryoshka.gram AS g WHERE g.codec_id = codec_rows.codec_id;
    ELSIF kind = 'unit' THEN
        SELECT ARRAY[(
            array_fill(0::real, ARRAY[max(l.bits) - 1]) || 1::real
            || array_fill(0::real, ARRAY[max(l.bits) - 1]))::{pgvector}.vector] INTO found
        FROM bitryoshka.additive_lengths AS l WHERE l.codec_id = codec_rows.codec_id;
    END IF;
    IF found[1] IS NULL THEN
        PERFORM bitryoshka.refuse_incomplete(codec_id);
    END IF;
    RETURN found;
END
$$;
COMMENT ON FUNCTION bitryoshka.codec_rows(integer, text) IS
'Of an additive codec: the decoder''s rows, length after length; the centre of each length; the rows
of table gram; and in arrays of one, that table''s shift and square, and a 1 with bits - 1 zeros on
both sides (kind decoder, centre, gram, shift, square, unit).';

CREATE OR REPLACE FUNCTION bitryoshka.codec_factors(codec_id integer, kind text)
    RETURNS double precision[]
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found double precision[];
BEGIN
    IF kind = 'length' THEN
        SELECT array_agg(l.bits ORDER BY l.bits) INTO found
        FROM bitryoshka.additive_lengths AS l WHERE l.codec_id = codec_factors.codec_id;
    ELSIF kind = 'weight' THEN
        SELECT array_agg(l.weight ORDER BY l.bits) INTO found
        FROM bitryoshka.additive_lengths AS l WHERE l.codec_id = codec_factors.codec_id;
    ELSIF kind = 'row weight' THEN
        SELECT array_agg(l.weight ORDER BY l.bits) INTO found
        FROM bitryoshka.additive_lengths AS l, generate_series(1, l.bits)
        WHERE l.codec_id = codec_factors.codec_id;
    ELSIF kind = 'setting' THEN
        SELECT ARRAY[a.score_weight, a.sweeps, c.bits] INTO found
        FROM bitryoshka.additive AS a JOIN bitryoshka.codecs AS c ON c.id = a.codec_id
        WHERE a.codec_id = codec_factors.codec_id;
    END IF;
    IF found IS NULL THEN
        PERFORM bitryoshka.refuse_incomplete(codec_id);
    END IF;
    RETURN found;
END
$$;
COMMENT ON FUNCTION bitryoshka.codec_factors(integer, text) IS
'Of an additive codec: the lengths of its loss, what each counts, the same for each row of the
decoder, or score_weight, sweeps and the bits that are kept (kind length, weight, row weight,
setting).';

CREATE OR REPLACE FUNCTION bitryoshka.codec_flips(codec_id integer) RETURNS varbit
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found varbit := (
        SELECT a.flips FROM bitryoshka.additive AS a WHERE a.codec_id = codec_flips.codec_id);
BEGIN
    IF found IS NULL THEN
        PERFORM bitryoshka.refuse_incomplete(codec_id);
    END IF;
    RETURN found;
END
$$;
COMMENT ON FUNCTION bitryoshka.codec_flips(integer) IS
'Of an additive codec: the bits that each restart turns, one restart after the other.';
