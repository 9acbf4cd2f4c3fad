-- encoders of create_encoder; refused while an index or a column uses one
DO $$
DECLARE
    made regprocedure;
BEGIN
    FOR made IN
        SELECT oid::regprocedure FROM pg_proc
        WHERE pronamespace = 'bitryoshka'::regnamespace AND starts_with(proname, 'encode_') AND pronargs = 1
    LOOP
        EXECUTE concat('DROP FUNCTION ', made::text);
    END LOOP;
END
$$;
DROP FUNCTION bitryoshka.create_encoder(text);
DROP FUNCTION bitryoshka.begin_codec(
    text, integer, text, text, integer, integer, integer, integer[], json);
DROP FUNCTION bitryoshka.asymmetric_score(bit, bit[]);
DROP FUNCTION bitryoshka.query_planes(text, vector, integer);
DROP FUNCTION bitryoshka.encode_query(text, vector, integer);
DROP FUNCTION bitryoshka.codec_numbers(integer, text);
DROP FUNCTION bitryoshka.codec_weights(integer);
DROP FUNCTION bitryoshka.encode(text, halfvec);
DROP FUNCTION bitryoshka.encode(text, vector);
DROP FUNCTION bitryoshka.find_codec(text, vector);
DROP TABLE bitryoshka.cuts, bitryoshka.code_bits, bitryoshka.weights, bitryoshka.codecs;
DROP FUNCTION bitryoshka.refuse_change();
