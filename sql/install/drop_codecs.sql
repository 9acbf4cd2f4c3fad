DROP FUNCTION bitryoshka.create_encoder(text);
DROP FUNCTION bitryoshka.asymmetric_score(bit, bit[]);
DROP FUNCTION bitryoshka.query_planes(text, vector, integer);
DROP FUNCTION bitryoshka.encode_query(text, vector, integer);
DROP FUNCTION bitryoshka.encode(text, halfvec);
DROP FUNCTION bitryoshka.encode(text, vector);
DROP FUNCTION bitryoshka.find_codec(text, vector);
DROP TABLE bitryoshka.cuts, bitryoshka.code_bits, bitryoshka.weights, bitryoshka.codecs;
DROP FUNCTION bitryoshka.refuse_change();
