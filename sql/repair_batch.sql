-- as apply_batch, over codes that are there
WITH locked AS MATERIALIZED (
    SELECT t.ctid AS place, b.code
    FROM pg_temp.bitryoshka_batch AS b
    JOIN ONLY {table} AS t ON t.ctid OPERATOR(pg_catalog.=) b.place
    WHERE t.xmin OPERATOR(pg_catalog.=) b.version
    FOR NO KEY UPDATE OF t SKIP LOCKED
)
UPDATE ONLY {table} AS t SET {code} = l.code
FROM locked AS l WHERE t.ctid OPERATOR(pg_catalog.=) l.place
