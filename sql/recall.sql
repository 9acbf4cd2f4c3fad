WITH nearest AS MATERIALIZED (
    SELECT ROW({keys})::pg_catalog.text AS key FROM {table}
    WHERE {vector} IS NOT NULL AND {has_code}
    -- the sum keeps an index on the vectors, which may miss some, out of the plan
    ORDER BY ({vector} OPERATOR({pgvector}.{operator}) {query}::{pgvector}.{vector_type})
        OPERATOR(pg_catalog.+) 0
    LIMIT {k}
),
found AS MATERIALIZED (
    SELECT ROW({item_keys})::pg_catalog.text AS key
    FROM bitryoshka.search(
        NULL::{table}, {query}::{pgvector}.vector, k => {k}, code_column => {code_column}) AS s
)
SELECT CASE WHEN pg_catalog.count(*)
    OPERATOR(pg_catalog.>) 0 THEN pg_catalog.count(f.key)::double precision
    OPERATOR(pg_catalog./) pg_catalog.count(*) ELSE 1 END
FROM nearest AS n LEFT JOIN found AS f ON f.key OPERATOR(pg_catalog.=) n.key
