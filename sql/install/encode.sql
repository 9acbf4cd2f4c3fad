CREATE OR REPLACE FUNCTION bitryoshka.encode(codec text, input {pgvector}.vector) RETURNS bit
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE COST 20000
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    one bitryoshka.codecs;
BEGIN
    IF NOT EXISTS (
        SELECT FROM bitryoshka.codecs AS c WHERE c.label = codec AND c.kind = 'additive'
    ) THEN
        RETURN bitryoshka.progressive_encode(codec, input);
    END IF;
    one := bitryoshka.find_codec(codec, input);
    RETURN bitryoshka.additive_encode(
        one.id,
        input,
        CASE one.metric WHEN 'cosine' THEN -1 / {pgvector}.vector_norm(input) ELSE -1 END);
END
$$;
COMMENT ON FUNCTION bitryoshka.encode(text, {pgvector}.vector) IS
'Code of a vector: encode(''docs@1'', embedding). NULL gives NULL; a vector of another dimension,
and a zero vector where the codec compares by cosine, is an error. The bits are those that
Binarizer.encode gives in Python, but for projected values within rounding of a threshold; by an
additive codec, for bits of which either choice is as good, within rounding.';

CREATE OR REPLACE FUNCTION bitryoshka.encode(codec text, input {pgvector}.halfvec) RETURNS bit
LANGUAGE sql STABLE STRICT PARALLEL SAFE COST 20000
RETURN bitryoshka.encode(codec, input::{pgvector}.vector);
COMMENT ON FUNCTION bitryoshka.encode(text, {pgvector}.halfvec) IS
'Code of a halfvec, as encode of a vector of the same numbers.';
