-- the server prints substring in the way in which it was written
SELECT EXISTS (
    SELECT FROM pg_index AS i
    JOIN pg_class AS x ON x.oid = i.indexrelid
    JOIN pg_am AS a ON a.oid = x.relam
    JOIN pg_opclass AS o ON o.oid = i.indclass[0]
    WHERE i.indrelid = {oid}::oid AND i.indisvalid AND i.indnatts = 1 AND i.indpred IS NULL
        AND a.amname = 'hnsw' AND o.opcname = 'bit_hamming_ops'
        AND translate(pg_get_indexdef(i.indexrelid, 1, false), '()', '') IN (
            SELECT translate(text, '()', '')
            FROM quote_ident({code}) AS q (code), LATERAL (VALUES
                (CASE WHEN {prefix_bits} = {bits} THEN q.code END),
                (concat('"substring"', q.code, ', 1, ', {prefix_bits}, '::bit', {prefix_bits})),
                (concat('SUBSTRING', q.code, ' FROM 1 FOR ', {prefix_bits}, '::bit', {prefix_bits}))
            ) AS v (text)
        )
)
