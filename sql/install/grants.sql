-- The trigger of a code column runs with the rights of whoever writes a row: were these objects
-- closed to some writer, its inserts would fail. They hold no data of the tables themselves.
DO $$
DECLARE
    role text;
BEGIN
    -- who may create here could lead others' calls to functions of their own
    FOR role IN
        SELECT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END
        FROM pg_namespace AS n CROSS JOIN LATERAL aclexplode(n.nspacl) AS a
        WHERE n.nspname = 'bitryoshka' AND a.privilege_type = 'CREATE'
            AND a.grantee <> n.nspowner
    LOOP
        EXECUTE concat('REVOKE CREATE ON SCHEMA bitryoshka FROM ', role);
    END LOOP;
END
$$;
GRANT USAGE ON SCHEMA bitryoshka TO PUBLIC;
GRANT SELECT ON
    bitryoshka.codecs, bitryoshka.weights, bitryoshka.code_bits, bitryoshka.cuts,
    bitryoshka.additive, bitryoshka.additive_lengths, bitryoshka.decoder, bitryoshka.gram,
    bitryoshka.columns, bitryoshka.backfill, bitryoshka.code_columns, bitryoshka.codec_kinds
TO PUBLIC;
REVOKE EXECUTE ON FUNCTION bitryoshka.create_encoder(text) FROM PUBLIC;
