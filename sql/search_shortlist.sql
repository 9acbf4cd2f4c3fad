-- The float query ranks all candidates by their codes, and the best of those by their vectors.
WITH candidates AS MATERIALIZED (
    SELECT id, code, vector
    FROM {table}
    ORDER BY {prefix} OPERATOR({pgvector}.<~>) {query_code}::bit({prefix_bits})
    LIMIT {candidates}
),
shortlist AS MATERIALIZED (
    SELECT id, vector
    FROM (SELECT id, vector, {weighted_distance} AS distance FROM candidates) AS scored
    ORDER BY distance, id
    LIMIT {shortlist}
)
SELECT id, {best} OPERATOR(pg_catalog.-) distance AS score
FROM (
    SELECT id, vector
        OPERATOR({pgvector}.{operator}) {query}::{pgvector}.{vector_type}({dimensions}) AS distance
    FROM shortlist
) AS compared
ORDER BY distance, id
LIMIT {k}
