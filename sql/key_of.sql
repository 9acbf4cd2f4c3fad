SELECT
    a.attname::text,
    (
        SELECT v.nspname::text
        FROM pg_extension AS e JOIN pg_namespace AS v ON v.oid = e.extnamespace
        WHERE e.extname = 'vector'
    )
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_index AS i ON i.indrelid = c.oid AND i.indisprimary
CROSS JOIN LATERAL unnest(i.indkey::smallint[]) WITH ORDINALITY AS k (number, place)
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = k.number
WHERE n.nspname = {schema} AND c.relname = {table}
ORDER BY k.place
