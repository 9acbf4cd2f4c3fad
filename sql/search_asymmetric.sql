-- The float query against the stored bits: its weights, rounded to 8 bits, are eight bit planes,
-- and a row scores the weighted sum of its Hamming distances to them (smaller is better).
WITH candidates AS MATERIALIZED (
    SELECT id, code
    FROM {table}
    ORDER BY {prefix} OPERATOR({pgvector}.<~>) {query_code}::bit({prefix_bits})
    LIMIT {candidates}
),
scored AS (
    SELECT
        id,
        128 * (code OPERATOR({pgvector}.<~>) {plane_1}::bit({bits}))
        + 64 * (code OPERATOR({pgvector}.<~>) {plane_2}::bit({bits}))
        + 32 * (code OPERATOR({pgvector}.<~>) {plane_3}::bit({bits}))
        + 16 * (code OPERATOR({pgvector}.<~>) {plane_4}::bit({bits}))
        + 8 * (code OPERATOR({pgvector}.<~>) {plane_5}::bit({bits}))
        + 4 * (code OPERATOR({pgvector}.<~>) {plane_6}::bit({bits}))
        + 2 * (code OPERATOR({pgvector}.<~>) {plane_7}::bit({bits}))
        + (code OPERATOR({pgvector}.<~>) {plane_8}::bit({bits})) AS distance
    FROM candidates
)
SELECT id, {scale} * (255 * {bits} - 2 * distance) AS score
FROM scored
ORDER BY distance, id
LIMIT {k}
