-- Searches, stage by stage.

-- name: query_bits
-- Settings of the scan are made before it begins, since what it orders by is asked for first.
SELECT q.code
FROM (
    SELECT
        bitryoshka.encode_query(({codec}), {query}::pg_catalog.text, {prefix_bits}) AS code,
        {settings}
) AS q

-- name: query_score
-- The query is encoded once for all rows, whose codes are compared by a subquery each.
WITH bitryoshka_query AS MATERIALIZED (
    SELECT p.planes, bitryoshka.asymmetric_score(p.planes[1], p.planes) AS reach
    FROM (
        SELECT bitryoshka.query_planes(({codec}), {query}::pg_catalog.text) AS planes OFFSET 0
    ) AS p
)
SELECT bitryoshka.asymmetric_score({code}, q.planes)::double precision
    OPERATOR(pg_catalog./) q.reach::double precision
FROM bitryoshka_query AS q

-- name: scan_settings
pg_catalog.set_config('hnsw.ef_search', {ef_search}, true),
pg_catalog.set_config('hnsw.iterative_scan', {iterative_scan}, true),
pg_catalog.set_config('hnsw.max_scan_tuples', {max_scan_tuples}, true),
pg_catalog.set_config('hnsw.scan_mem_multiplier', {scan_mem_multiplier}, true)

-- name: search_asymmetric
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

-- name: search_column
SELECT q.number::integer, s.score, {keys}
FROM pg_catalog.unnest({queries}::pg_catalog.text[]) WITH ORDINALITY AS q (query, number)
CROSS JOIN LATERAL bitryoshka.search(
    NULL::{table},
    q.query::{pgvector}.vector,
    k => {k}::integer,
    candidates => {candidates}::integer,
    code_column => {code_column},
    prefix_bits => {prefix_bits}::integer,
    rescore => {rescore},
    shortlist => {shortlist}::integer,
    filter => {filter}
) WITH ORDINALITY AS s (item, score, place)
ORDER BY q.number, s.place

-- name: search_exact
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

-- name: search_hamming
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

-- name: search_settings
-- gives the schema that pgvector's operators are in as well
SELECT
    (
        SELECT n.nspname::pg_catalog.text
        FROM pg_catalog.pg_extension AS e
            JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) e.extnamespace
        WHERE e.extname OPERATOR(pg_catalog.=) 'vector'
    ),
    {settings}

-- name: search_shortlist
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

-- name: search_text
SELECT bitryoshka.search_statement(
    {table}::pg_catalog.regclass, {code_column}, {k}, {candidates}, {prefix_bits}::integer,
    {rescore}::pg_catalog.text, {shortlist}::integer, {where}::pg_catalog.text
)

-- name: weighted_distance
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
    OPERATOR({pgvector}.<~>) {plane_8}::bit({bits})))
