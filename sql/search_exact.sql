WITH candidates AS MATERIALIZED (
    SELECT id, vector
    FROM {table}
    ORDER BY {prefix} OPERATOR({pgvector}.<~>) {query_code}::bit({prefix_bits})
    LIMIT {candidates}
)
SELECT id, {best} OPERATOR(pg_catalog.-) distance AS score
FROM (
    SELECT id, vector
        OPERATOR({pgvector}.{operator}) {query}::{pgvector}.{vector_type}({dimensions}) AS distance
    FROM candidates
) AS compared
ORDER BY distance, id
LIMIT {k}
