CREATE OR REPLACE FUNCTION bitryoshka.find_codec(codec text, input {pgvector}.vector)
    RETURNS bitryoshka.codecs
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
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
    IF {pgvector}.vector_dims(input) <> one.dimensions THEN
        RAISE EXCEPTION USING
            ERRCODE = 'data_exception',
            MESSAGE = concat('codec ', codec, ' expects ', one.dimensions,
                ' dimensions, found ', {pgvector}.vector_dims(input));
    END IF;
    IF one.metric = 'cosine' AND {pgvector}.vector_norm(input) = 0 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'data_exception',
            MESSAGE = concat('codec ', codec, ' compares by cosine: a zero vector has no code');
    END IF;
    RETURN one;
END
$$;
COMMENT ON FUNCTION bitryoshka.find_codec(text, {pgvector}.vector) IS
'The codec of a label, after checking that the vector fits it; an error says what does not.';
