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
        (128 OPERATOR(pg_catalog.*) (code OPERATOR({pgvector}.<~>) {plane_1}::bit({bits})))
        OPERATOR(pg_catalog.+) (64 OPERATOR(pg_catalog.*) (code
            OPERATOR({pgvector}.<~>) {plane_2}::bit({bits})))
        OPERATOR(pg_catalog.+) (32 OPERATOR(pg_catalog.*) (code
            OPERATOR({pgvector}.<~>) {plane_3}::bit({bits})))
        OPERATOR(pg_catalog.+) (16 OPERATOR(pg_catalog.*) (code
            OPERATOR({pgvector}.<~>) {plane_4}::bit({bits})))
        OPERATOR(pg_catalog.+) (8 OPERATOR(pg_catalog.*) (code
            OPERATOR({pgvector}.<~>) {plane_5}::bit({bits})))
        OPERATOR(pg_catalog.+) (4 OPERATOR(pg_catalog.*) (code
            OPERATOR({pgvector}.<~>) {plane_6}::bit({bits})))
        OPERATOR(pg_catalog.+) (2 OPERATOR(pg_catalog.*) (code
            OPERATOR({pgvector}.<~>) {plane_7}::bit({bits})))
        OPERATOR(pg_catalog.+) (1 OPERATOR(pg_catalog.*) (code
            OPERATOR({pgvector}.<~>) {plane_8}::bit({bits}))) AS distance
    FROM candidates
)
SELECT id, {scale}::double precision OPERATOR(pg_catalog.*) (255.0::double precision
    OPERATOR(pg_catalog.*) {bits} OPERATOR(pg_catalog.-) (2
    OPERATOR(pg_catalog.*) distance)) AS score
FROM scored
ORDER BY distance, id
LIMIT {k}
