SELECT
    n.nspname::pg_catalog.text, t.relname::pg_catalog.text, x.relname::pg_catalog.text,
    pg_catalog.pg_get_indexdef(i.indexrelid, 1, false), o.opcname::pg_catalog.text,
    coalesce(pg_catalog.array_to_string(x.reloptions, ','), '')
FROM pg_catalog.pg_index AS i
JOIN pg_catalog.pg_class AS x ON x.oid OPERATOR(pg_catalog.=) i.indexrelid
JOIN pg_catalog.pg_am AS a ON a.oid OPERATOR(pg_catalog.=) x.relam
JOIN pg_catalog.pg_class AS t ON t.oid OPERATOR(pg_catalog.=) i.indrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) t.relnamespace
JOIN pg_catalog.pg_opclass AS o ON o.oid OPERATOR(pg_catalog.=) i.indclass[0]
WHERE a.amname OPERATOR(pg_catalog.=) 'hnsw'
    AND (o.opcname OPERATOR(pg_catalog.=) 'bit_hamming_ops'
    OR o.opcname OPERATOR(pg_catalog.=) 'bit_jaccard_ops')
    AND i.indnatts OPERATOR(pg_catalog.=) 1 AND i.indpred IS NULL
