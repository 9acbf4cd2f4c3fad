DO $$
BEGIN
    IF EXISTS (SELECT FROM bitryoshka.code_columns) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_in_use',
            MESSAGE = 'codecs are attached to columns, see bitryoshka.code_columns',
            HINT = 'Detach them first.';
    END IF;
END
$$;
