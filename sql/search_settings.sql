SELECT
    pg_catalog.set_config('hnsw.ef_search', {ef_search}, true),
    pg_catalog.set_config('hnsw.iterative_scan', 'relaxed_order', true),
    pg_catalog.set_config('hnsw.max_scan_tuples', {max_scan_tuples}, true)
