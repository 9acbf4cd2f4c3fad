SELECT
    pg_catalog.count(*),
    pg_catalog.count(*) FILTER (WHERE {vector} IS NULL),
    pg_catalog.count(*) FILTER (WHERE {vector} IS NOT NULL AND NOT ({has_code})),
    pg_catalog.count(*) FILTER (WHERE {vector} IS NOT NULL AND {has_code} AND {code} IS NULL),
    pg_catalog.count(*) FILTER (
        WHERE {code} IS NOT NULL AND ({vector} IS NOT NULL AND {has_code}) IS NOT TRUE)
FROM {table}
