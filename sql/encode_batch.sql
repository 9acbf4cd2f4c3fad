WITH locked AS MATERIALIZED (
    SELECT ctid AS place FROM ONLY {table}
    WHERE {within} AND {code} IS NULL AND {vector} IS NOT NULL AND {has_code}
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE ONLY {table} AS t SET {code} = {encoder}(t.{vector}::{pgvector}.vector)
FROM locked AS l WHERE t.ctid OPERATOR(pg_catalog.=) l.place
