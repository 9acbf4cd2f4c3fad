DO $$
DECLARE
    one record;
    called text;
BEGIN
    IF EXISTS (
        SELECT FROM bitryoshka.code_columns AS c
        JOIN bitryoshka.codec_kinds AS k ON k.codec = c.codec
        WHERE k.kind = 'additive'
    ) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_in_use',
            MESSAGE = 'additive codecs are attached to columns, see bitryoshka.code_columns',
            HINT = 'Detach them first.';
    END IF;
    FOR one IN SELECT codec FROM bitryoshka.codec_kinds WHERE kind = 'additive' LOOP
        PERFORM bitryoshka.drop_codec(one.codec);
    END LOOP;
    -- the functions that were replaced become what they were
    FOREACH called IN ARRAY ARRAY['encode', 'create_encoder', 'create_column_functions'] LOOP
        EXECUTE replace(
            pg_get_functiondef((
                SELECT p.oid FROM pg_proc AS p
                WHERE p.pronamespace = 'bitryoshka'::regnamespace
                    AND p.proname = concat('progressive_', called))),
            concat('FUNCTION bitryoshka.progressive_', called, '('),
            concat('FUNCTION bitryoshka.', called, '('));
    END LOOP;
END
$$;
COMMENT ON FUNCTION bitryoshka.encode(text, vector) IS
'Code of a vector: encode(''docs@1'', embedding). NULL gives NULL; a vector of another dimension,
and a zero vector where the codec compares by cosine, is an error. The bits are those that
Binarizer.encode gives in Python, but for projected values within rounding of a threshold.';
DROP FUNCTION bitryoshka.progressive_encode(text, vector);
DROP FUNCTION bitryoshka.progressive_create_encoder(text);
DROP FUNCTION bitryoshka.progressive_create_column_functions(integer);
DROP FUNCTION bitryoshka.additive_encoder(bitryoshka.codecs);
DROP FUNCTION bitryoshka.additive_encode(integer, vector, double precision);
DROP FUNCTION bitryoshka.additive_body();
DROP FUNCTION bitryoshka.codec_flips(integer);
DROP FUNCTION bitryoshka.codec_factors(integer, text);
DROP FUNCTION bitryoshka.codec_rows(integer, text);
DROP FUNCTION bitryoshka.write_gram(integer);
DROP VIEW bitryoshka.codec_kinds;
DROP TABLE bitryoshka.gram, bitryoshka.decoder, bitryoshka.additive_lengths, bitryoshka.additive;
