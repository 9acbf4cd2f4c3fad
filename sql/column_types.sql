SELECT a.attname::text, y.typname::text, a.atttypmod
FROM pg_attribute AS a JOIN pg_type AS y ON y.oid = a.atttypid
WHERE a.attrelid = {oid}::oid AND a.attnum > 0 AND NOT a.attisdropped
