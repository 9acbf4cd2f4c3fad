-- HNSW indexes of codes.

-- name: code_indexes
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

-- name: create_code_index
CREATE INDEX {concurrently}{index} ON {table} USING hnsw (({expression}) {opclass})
WITH (m = {m}, ef_construction = {ef_construction})

-- name: create_index
CREATE INDEX {index} ON {table} USING hnsw (({prefix}) {pgvector}.bit_hamming_ops)
WITH (m = {m}, ef_construction = {ef_construction})

-- name: drop_code_index
DROP INDEX {concurrently}{index}

-- name: drop_index_concurrently
DROP INDEX CONCURRENTLY IF EXISTS {index}

-- name: index_concurrently
CREATE INDEX CONCURRENTLY {index} ON {table} USING hnsw (({prefix}) {pgvector}.bit_hamming_ops)
WITH (m = {m}, ef_construction = {ef_construction})

-- name: index_covers
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

-- name: index_parent
-- takes up the indexes that the partitions have already
CREATE INDEX {index} ON {table} USING hnsw (({prefix}) {pgvector}.bit_hamming_ops)
WITH (m = {m}, ef_construction = {ef_construction})

-- name: index_progress
-- what an index build does, and whose transactions it waits for
SELECT
    p.phase,
    CASE WHEN p.tuples_total OPERATOR(pg_catalog.>) 0 THEN
        100 OPERATOR(pg_catalog.*) p.tuples_done OPERATOR(pg_catalog./) p.tuples_total END,
    ARRAY(
        SELECT pg_catalog.concat(
            'server process ', b.pid, ' (role ', a.usename, ', ', a.state, ', its transaction open for ',
            extract(epoch FROM pg_catalog.clock_timestamp()
                OPERATOR(pg_catalog.-) a.xact_start)::integer, ' s)')
        FROM pg_catalog.unnest(pg_catalog.pg_blocking_pids({pid}::integer)) AS b (pid)
        LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid OPERATOR(pg_catalog.=) b.pid
    )
FROM pg_catalog.pg_stat_progress_create_index AS p
WHERE p.pid OPERATOR(pg_catalog.=) {pid}::integer

-- name: index_sizes
SELECT indexname::pg_catalog.text, pg_catalog.pg_relation_size((pg_catalog.quote_ident(schemaname)
    OPERATOR(pg_catalog.||) '.'
    OPERATOR(pg_catalog.||) pg_catalog.quote_ident(indexname))::pg_catalog.regclass)
FROM pg_catalog.pg_indexes
WHERE schemaname OPERATOR(pg_catalog.=) {schema}
ORDER BY indexname

-- name: index_state
SELECT i.indisvalid
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
JOIN pg_catalog.pg_index AS i ON i.indexrelid OPERATOR(pg_catalog.=) c.oid
WHERE n.nspname OPERATOR(pg_catalog.=) {schema} AND c.relname OPERATOR(pg_catalog.=) {index}

-- name: prefix
substring({code} FROM 1 FOR {prefix_bits})::bit({prefix_bits})
