SELECT
    n.nspname::text, t.relname::text, x.relname::text,
    pg_catalog.pg_get_indexdef(i.indexrelid, 1, false), o.opcname::text,
    coalesce(pg_catalog.array_to_string(x.reloptions, ','), '')
FROM pg_catalog.pg_index AS i
JOIN pg_catalog.pg_class AS x ON x.oid = i.indexrelid
JOIN pg_catalog.pg_am AS a ON a.oid = x.relam
JOIN pg_catalog.pg_class AS t ON t.oid = i.indrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = t.relnamespace
JOIN pg_catalog.pg_opclass AS o ON o.oid = i.indclass[0]
WHERE a.amname = 'hnsw' AND o.opcname IN ('bit_hamming_ops', 'bit_jaccard_ops')
    AND i.indnatts = 1 AND i.indpred IS NULL
