CREATE OR REPLACE FUNCTION bitryoshka.begin_codec(
    name text,
    version integer,
    fingerprint text,
    metric text,
    dimensions integer,
    bits integer,
    hamming_bits integer,
    nested_bits integer[],
    info json,
    kind text
) RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    one bitryoshka.codecs;
BEGIN
    -- only who may write codecs may lock them so
    LOCK TABLE bitryoshka.codecs IN SHARE ROW EXCLUSIVE MODE;
    SELECT k.* INTO one FROM bitryoshka.codecs AS k
    WHERE k.name = begin_codec.name AND k.version = begin_codec.version;
    IF one.id IS NULL THEN
        INSERT INTO bitryoshka.codecs (
            name, version, fingerprint, metric, dimensions, bits, hamming_bits, nested_bits, info,
            kind
        )
        VALUES (
            begin_codec.name, begin_codec.version, begin_codec.fingerprint, begin_codec.metric,
            begin_codec.dimensions, begin_codec.bits, begin_codec.hamming_bits,
            begin_codec.nested_bits, begin_codec.info, begin_codec.kind
        )
        RETURNING * INTO one;
    END IF;
    IF one.fingerprint <> begin_codec.fingerprint THEN
        RAISE EXCEPTION USING
            ERRCODE = 'unique_violation',
            MESSAGE = concat('codec ', one.label, ' is another binarizer: expected fingerprint ',
                begin_codec.fingerprint, ', found ', one.fingerprint),
            HINT = 'Choose another version.';
    END IF;
    RETURN one.id;
END
$$;
COMMENT ON FUNCTION bitryoshka.begin_codec(
    text, integer, text, text, integer, integer, integer, integer[], json, text) IS
'The entry of a codec, whose weights the same transaction writes next; gives its id. Where the codec
is there already, nothing changes; another fingerprint under its name and version is an error.';
