-- It has no search_path of its own: the filter is the caller's, and means what it means to the
-- caller. So all else is named with its schema.
-- Its settings are put back by hand: naming them in the function's head would need pgvector's
-- library loaded, or a superuser, wherever the function is created or restored.
CREATE OR REPLACE FUNCTION bitryoshka.search(
    items anyelement,
    query anycompatible,
    k integer DEFAULT 10,
    candidates integer DEFAULT 100,
    code_column text DEFAULT 'code',
    prefix_bits integer DEFAULT NULL,
    rescore text DEFAULT 'asymmetric',
    shortlist integer DEFAULT NULL,
    filter text DEFAULT NULL,
    filter_values jsonb DEFAULT NULL
) RETURNS TABLE (item anyelement, score double precision)
LANGUAGE plpgsql STABLE PARALLEL UNSAFE ROWS 10
AS $$
DECLARE
    target pg_catalog.regclass := (
        SELECT t.typrelid FROM pg_catalog.pg_type AS t
        WHERE t.oid OPERATOR(pg_catalog.=) pg_catalog.pg_typeof(items)::pg_catalog.oid);
    asked {pgvector}.vector := query::{pgvector}.vector;
    ef_search pg_catalog.text := pg_catalog.current_setting('hnsw.ef_search', true);
    iterative_scan pg_catalog.text := pg_catalog.current_setting('hnsw.iterative_scan', true);
    max_scan_tuples pg_catalog.text := pg_catalog.current_setting('hnsw.max_scan_tuples', true);
    scan_mem_multiplier pg_catalog.text :=
        pg_catalog.current_setting('hnsw.scan_mem_multiplier', true);
BEGIN
    IF coalesce(target::pg_catalog.oid, 0::pg_catalog.oid) OPERATOR(pg_catalog.=) 0::pg_catalog.oid
    THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = pg_catalog.concat(
                'expected NULL of the type of a table''s rows, such as NULL::public.docs, found ',
                pg_catalog.pg_typeof(items));
    END IF;
    -- what stands in quotes is text, whatever it looks like
    IF filter_values IS NULL AND pg_catalog.strpos(
        pg_catalog.regexp_replace(filter, '''[^'']*''|"[^"]*"', '', 'g'), '$2'
    ) OPERATOR(pg_catalog.>) 0 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'the filter takes values from $2, and filter_values is NULL';
    END IF;
    IF filter_values IS NOT NULL AND filter IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'there are filter_values, and no filter that takes them';
    END IF;
    IF pg_catalog.btrim(filter) OPERATOR(pg_catalog.=) '' THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'the filter is empty: expected a condition, or NULL for none';
    END IF;
    IF asked IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY EXECUTE bitryoshka.search_statement(
        target, code_column, k, candidates, prefix_bits, rescore, shortlist, filter)
    USING asked, filter_values;
    PERFORM
        pg_catalog.set_config('hnsw.ef_search', ef_search, true),
        pg_catalog.set_config('hnsw.iterative_scan', iterative_scan, true),
        pg_catalog.set_config('hnsw.max_scan_tuples', max_scan_tuples, true),
        pg_catalog.set_config('hnsw.scan_mem_multiplier', scan_mem_multiplier, true);
END
$$;
COMMENT ON FUNCTION bitryoshka.search(
    anyelement, anycompatible, integer, integer, text, integer, text, integer, text, jsonb
) IS
'The k best rows for a query, best first:
SELECT (s.item).id, s.score FROM bitryoshka.search(NULL::docs, query_vector, k => 10) AS s.
query: a vector, a halfvec, an array, or the text of one; NULL finds nothing.
The candidates nearest by Hamming distance on the first prefix_bits are ranked by the float query
against their whole codes (rescore => ''asymmetric''), by their stored vectors (''exact''; with a
shortlist, so many of them, which the float query has chosen by their codes), or not at all (NULL).
score: greater is better; the cosine or the inner product after exact rescoring, else from -1 to 1.
filter is SQL of your own over the table''s columns, named without the table, under your own
search_path; give it values as $2, filter_values, and never paste a user''s input into it:
filter => ''tenant = ($2->>''''tenant'''')::int''.';
