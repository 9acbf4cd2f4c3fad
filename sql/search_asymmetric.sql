-- The float query against the stored bits: its weights, rounded to 8 bits, are eight bit planes,
-- and a row scores the weighted sum of its Hamming distances to them (smaller is better).
WITH candidates AS MATERIALIZED (
    SELECT id, code
    FROM {table}
    ORDER BY {prefix} OPERATOR({pgvector}.<~>) {query_code}::bit({prefix_bits})
    LIMIT {candidates}
),
scored AS (
    SELECT id, {weighted_distance} AS distance
    FROM candidates
)
SELECT
    id,
    (255.0::double precision OPERATOR(pg_catalog.*) {bits}
        OPERATOR(pg_catalog.-) (2 OPERATOR(pg_catalog.*) distance))
        OPERATOR(pg_catalog./) {reach}::double precision AS score
FROM scored
ORDER BY distance, id
LIMIT {k}
