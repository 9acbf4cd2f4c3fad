SELECT
    count(*),
    count(*) FILTER (WHERE {vector} IS NULL),
    count(*) FILTER (WHERE {vector} IS NOT NULL AND NOT ({has_code})),
    count(*) FILTER (WHERE {vector} IS NOT NULL AND {has_code} AND {code} IS NULL)
FROM {table}
