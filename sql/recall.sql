WITH nearest AS MATERIALIZED (
    SELECT {key} FROM {table}
    WHERE {vector} IS NOT NULL AND {has_code}
    -- the sum keeps an index on the vectors, which may miss some, out of the plan
    ORDER BY ({vector} OPERATOR({pgvector}.{operator}) {query}::{pgvector}.{vector_type}) + 0
    LIMIT {k}
),
found AS MATERIALIZED (
    SELECT (s.item).*
    FROM bitryoshka.search(
        NULL::{table}, {query}::{pgvector}.vector, k => {k}, code_column => {code_column}) AS s
)
SELECT coalesce(count(f.*)::double precision / nullif(count(*), 0), 1)
FROM nearest AS n LEFT JOIN found AS f USING ({key})
