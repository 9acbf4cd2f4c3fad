-- The trigger of a code column runs with the rights of whoever writes a row: were these objects
-- closed to some writer, its inserts would fail. They hold no data of the tables themselves.
GRANT USAGE ON SCHEMA bitryoshka TO PUBLIC;
GRANT SELECT ON
    bitryoshka.codecs, bitryoshka.weights, bitryoshka.code_bits, bitryoshka.cuts
TO PUBLIC;
REVOKE EXECUTE ON FUNCTION bitryoshka.create_encoder(text) FROM PUBLIC;
