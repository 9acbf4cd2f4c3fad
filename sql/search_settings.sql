-- gives the schema that pgvector's operators are in as well
SELECT
    (
        SELECT n.nspname::pg_catalog.text
        FROM pg_catalog.pg_extension AS e
            JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) e.extnamespace
        WHERE e.extname OPERATOR(pg_catalog.=) 'vector'
    ),
    pg_catalog.set_config('hnsw.ef_search', {ef_search}, true),
    pg_catalog.set_config('hnsw.iterative_scan', {iterative_scan}, true),
    pg_catalog.set_config('hnsw.max_scan_tuples', {max_scan_tuples}, true),
    pg_catalog.set_config('hnsw.scan_mem_multiplier', {scan_mem_multiplier}, true)
