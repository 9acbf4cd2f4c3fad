CREATE OR REPLACE FUNCTION bitryoshka.drop_codec(codec text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    encoder text;
    one bitryoshka.codecs := bitryoshka.require_codec(codec);
BEGIN
    PERFORM bitryoshka.forget_dropped_tables();
    DELETE FROM bitryoshka.codecs AS k WHERE k.label = codec
    RETURNING quote_ident(concat('encode_', k.name, '_', k.version)) INTO encoder;
    IF NOT EXISTS (
        SELECT FROM bitryoshka.codecs AS k WHERE k.fingerprint = one.fingerprint
    ) THEN
        PERFORM bitryoshka.drop_if_possible(concat(
            bitryoshka.query_function(one, kind), '(', bitryoshka.pgvector(), '.vector)'))
        FROM unnest(ARRAY['bits', 'planes']) AS kind;
    END IF;
    EXECUTE concat(
        'DROP FUNCTION IF EXISTS bitryoshka.', encoder, '(', bitryoshka.pgvector(), '.vector), ',
        'bitryoshka.', encoder, '(', bitryoshka.pgvector(), '.halfvec)');
END
$$;
COMMENT ON FUNCTION bitryoshka.drop_codec(text) IS
'Forget a codec and its encoder; an error where a column, an index or a generated column uses it.';
