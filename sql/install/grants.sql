-- The trigger of a code column runs with the rights of whoever writes a row: were these objects
-- closed to some writer, its inserts would fail. They hold no data of the tables themselves.
GRANT USAGE ON SCHEMA bitryoshka TO PUBLIC;
GRANT SELECT ON
    bitryoshka.codecs, bitryoshka.weights, bitryoshka.code_bits, bitryoshka.cuts,
    bitryoshka.additive, bitryoshka.additive_lengths, bitryoshka.decoder, bitryoshka.gram,
    bitryoshka.columns, bitryoshka.backfill, bitryoshka.code_columns, bitryoshka.codec_kinds
TO PUBLIC;
-- whatever the default privileges of the owner are
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA bitryoshka TO PUBLIC;
REVOKE EXECUTE ON FUNCTION bitryoshka.create_encoder(text) FROM PUBLIC;

-- ids are given by the catalogue alone: whoever may insert may not choose them
DO $$
DECLARE
    one record;
BEGIN
    FOR one IN
        SELECT
            r.relname::text AS name,
            CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END AS role, (
            SELECT string_agg(quote_ident(c.attname::text), ', ') FROM pg_attribute AS c
            WHERE c.attrelid = r.oid AND c.attnum > 0 AND NOT c.attisdropped
                AND c.attidentity = '' AND c.attgenerated = '') AS columns
        FROM pg_class AS r CROSS JOIN LATERAL aclexplode(r.relacl) AS a
        WHERE r.relnamespace = 'bitryoshka'::regnamespace AND r.relname IN ('codecs', 'columns')
            AND a.privilege_type = 'INSERT' AND a.grantee <> r.relowner
    LOOP
        EXECUTE concat('REVOKE INSERT ON bitryoshka.', one.name, ' FROM ', one.role, ' CASCADE');
        EXECUTE concat(
            'GRANT INSERT (', one.columns, ') ON bitryoshka.', one.name, ' TO ', one.role);
    END LOOP;
    -- a column that an earlier revision had not
    FOR one IN
        SELECT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END AS role
        FROM pg_attribute AS c CROSS JOIN LATERAL aclexplode(c.attacl) AS a
        WHERE c.attrelid = 'bitryoshka.codecs'::regclass AND c.attname = 'fingerprint'
            AND a.privilege_type = 'INSERT'
    LOOP
        EXECUTE concat('GRANT INSERT (kind) ON bitryoshka.codecs TO ', one.role);
    END LOOP;
END
$$;
