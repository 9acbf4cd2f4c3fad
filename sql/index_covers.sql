-- the server prints substring in the way in which it was written
SELECT EXISTS (
    SELECT FROM pg_catalog.pg_index AS i
    JOIN pg_catalog.pg_class AS x ON x.oid OPERATOR(pg_catalog.=) i.indexrelid
    JOIN pg_catalog.pg_am AS a ON a.oid OPERATOR(pg_catalog.=) x.relam
    JOIN pg_catalog.pg_opclass AS o ON o.oid OPERATOR(pg_catalog.=) i.indclass[0]
    WHERE i.indrelid OPERATOR(pg_catalog.=) {oid}::pg_catalog.oid AND i.indisvalid
        AND i.indnatts OPERATOR(pg_catalog.=) 1 AND i.indpred IS NULL
        AND a.amname OPERATOR(pg_catalog.=) 'hnsw'
            AND o.opcname OPERATOR(pg_catalog.=) 'bit_hamming_ops'
        AND pg_catalog.translate(pg_catalog.replace(pg_catalog.pg_get_indexdef(i.indexrelid, 1,
            false), 'pg_catalog.', ''), '()', '') OPERATOR(pg_catalog.=) ANY (
            SELECT pg_catalog.translate(v.text, '()', '')
            FROM pg_catalog.quote_ident({code}) AS q (code), LATERAL (VALUES
                (CASE WHEN {prefix_bits} OPERATOR(pg_catalog.=) {bits} THEN q.code END),
                (pg_catalog.concat('"substring"', q.code, ', 1, ', {prefix_bits}, '::bit',
                    {prefix_bits})),
                (pg_catalog.concat('SUBSTRING', q.code, ' FROM 1 FOR ', {prefix_bits}, '::bit',
                    {prefix_bits}))
            ) AS v (text)
        )
)
