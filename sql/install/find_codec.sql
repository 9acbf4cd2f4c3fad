CREATE OR REPLACE FUNCTION bitryoshka.require_codec(codec text) RETURNS bitryoshka.codecs
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    one bitryoshka.codecs;
BEGIN
    SELECT * INTO one FROM bitryoshka.codecs WHERE label = codec;
    IF one.id IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'undefined_object',
            MESSAGE = concat('there is no codec ', quote_literal(codec)),
            HINT = 'SELECT label FROM bitryoshka.codecs lists them; a label is name@version.';
    END IF;
    RETURN one;
END
$$;
COMMENT ON FUNCTION bitryoshka.require_codec(text) IS
'The codec of a label; an error where there is none.';

CREATE OR REPLACE FUNCTION bitryoshka.check_vector(
    codec text, dimensions integer, metric text, input {pgvector}.vector
) RETURNS void
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF {pgvector}.vector_dims(input) <> dimensions THEN
        RAISE EXCEPTION USING
            ERRCODE = 'data_exception',
            MESSAGE = concat('codec ', codec, ' expects ', dimensions,
                ' dimensions, found ', {pgvector}.vector_dims(input));
    END IF;
    IF metric = 'cosine' AND {pgvector}.vector_norm(input) = 0 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'data_exception',
            MESSAGE = concat('codec ', codec, ' compares by cosine: a zero vector has no code');
    END IF;
END
$$;
COMMENT ON FUNCTION bitryoshka.check_vector(text, integer, text, {pgvector}.vector) IS
'An error, which says why, where a vector has no code.';

CREATE OR REPLACE FUNCTION bitryoshka.find_codec(codec text, input {pgvector}.vector)
    RETURNS bitryoshka.codecs
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    one bitryoshka.codecs := bitryoshka.require_codec(codec);
BEGIN
    PERFORM bitryoshka.check_vector(codec, one.dimensions, one.metric, input);
    RETURN one;
END
$$;
COMMENT ON FUNCTION bitryoshka.find_codec(text, {pgvector}.vector) IS
'The codec of a label, after checking that the vector fits it; an error says what does not.';
