DROP FUNCTION bitryoshka.search(
    anyelement, vector, integer, integer, text, integer, boolean, integer, text, jsonb);
DROP FUNCTION bitryoshka.search_statement(
    regclass, text, integer, integer, integer, boolean, integer, text);
DROP VIEW bitryoshka.code_columns;
DROP TABLE bitryoshka.backfill, bitryoshka.columns;
