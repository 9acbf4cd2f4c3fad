SELECT a.attname::text, format_type(a.atttypid, a.atttypmod)
FROM pg_index AS i
CROSS JOIN LATERAL unnest(i.indkey::smallint[]) WITH ORDINALITY AS k (number, place)
JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.number
WHERE i.indrelid = {oid}::oid AND i.indisprimary
ORDER BY k.place
