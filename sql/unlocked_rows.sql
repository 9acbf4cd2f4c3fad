SELECT pg_catalog.count(*)
FROM (
    SELECT FROM ONLY {table} WHERE {code} IS NULL AND {vector} IS NOT NULL AND {has_code}
    FOR NO KEY UPDATE SKIP LOCKED
) AS x
