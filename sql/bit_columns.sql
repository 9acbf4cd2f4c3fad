SELECT n.nspname::text, r.relname::text, a.attname::text, a.atttypmod
FROM pg_catalog.pg_attribute AS a
JOIN pg_catalog.pg_class AS r ON r.oid = a.attrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = r.relnamespace
WHERE a.atttypid = 'pg_catalog.bit'::regtype AND a.attnum > 0 AND r.relkind IN ('r', 'p')
