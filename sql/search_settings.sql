-- gives the schema that pgvector's operators are in as well
SELECT
    (
        SELECT n.nspname::text
        FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace
        WHERE e.extname = 'vector'
    ),
    set_config('hnsw.ef_search', {ef_search}, true),
    set_config('hnsw.iterative_scan', 'relaxed_order', true),
    set_config('hnsw.max_scan_tuples', {max_scan_tuples}, true)
