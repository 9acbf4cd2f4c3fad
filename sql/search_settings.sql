SELECT
    set_config('hnsw.ef_search', {ef_search}, true),
    set_config('hnsw.iterative_scan', 'relaxed_order', true),
    set_config('hnsw.max_scan_tuples', {max_scan_tuples}, true)
