WITH candidates AS MATERIALIZED (
    SELECT id, {prefix} OPERATOR({pgvector}.<~>) {query_code}::bit({prefix_bits}) AS distance
    FROM {table}
    ORDER BY {prefix} OPERATOR({pgvector}.<~>) {query_code}::bit({prefix_bits})
    LIMIT {candidates}
)
SELECT
    id,
    1 OPERATOR(pg_catalog.-) (2 OPERATOR(pg_catalog.*) distance OPERATOR(pg_catalog./) {prefix_bits})
        AS score
FROM candidates
ORDER BY distance, id
LIMIT {k}
