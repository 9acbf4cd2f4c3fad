-- What encodes by progressive codecs goes on under names of its own. It is copied, and what had the
-- names is replaced: rights on it, and views that use it, stay.
DO $$
DECLARE
    called text;
BEGIN
    FOREACH called IN ARRAY ARRAY['encode', 'create_encoder', 'create_column_functions'] LOOP
        EXECUTE replace(
            pg_get_functiondef((
                SELECT p.oid FROM pg_proc AS p
                WHERE p.pronamespace = 'bitryoshka'::regnamespace AND p.proname = called
                    AND p.prolang <> (SELECT l.oid FROM pg_language AS l WHERE l.lanname = 'sql'))),
            concat('FUNCTION bitryoshka.', called, '('),
            concat('FUNCTION bitryoshka.progressive_', called, '('));
    END LOOP;
END
$$;
COMMENT ON FUNCTION bitryoshka.progressive_encode(text, vector) IS
'What encode does for a progressive codec.';
COMMENT ON FUNCTION bitryoshka.progressive_create_encoder(text) IS
'What create_encoder does for a progressive codec.';
COMMENT ON FUNCTION bitryoshka.progressive_create_column_functions(integer) IS
'What create_column_functions does for a progressive codec.';
