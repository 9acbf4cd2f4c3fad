-- functions that outlived their tables
DO $$
DECLARE
    made regprocedure;
BEGIN
    FOR made IN
        SELECT oid::regprocedure FROM pg_proc
        WHERE pronamespace = 'bitryoshka'::regnamespace
            AND (starts_with(proname, 'fill_column_') OR starts_with(proname, 'encode_column_'))
    LOOP
        EXECUTE concat('DROP FUNCTION ', made::text);
    END LOOP;
END
$$;
DROP FUNCTION bitryoshka.drop_codec(text);
DROP FUNCTION bitryoshka.rename_code_column(regclass, name, name);
DROP FUNCTION bitryoshka.drop_code_column(regclass, name);
DROP FUNCTION bitryoshka.fill_code_column(regclass, name);
DROP FUNCTION bitryoshka.add_code_column(regclass, name, text, name, text, integer);
DROP FUNCTION bitryoshka.create_column_functions(integer);
DROP FUNCTION bitryoshka.search(
    anyelement, vector, integer, integer, text, integer, boolean, integer, text, jsonb);
DROP FUNCTION bitryoshka.search_statement(
    regclass, text, integer, integer, integer, boolean, integer, text);
DROP VIEW bitryoshka.code_columns;
DROP TABLE bitryoshka.backfill, bitryoshka.columns;
