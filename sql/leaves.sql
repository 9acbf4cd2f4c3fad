SELECT c.oid::bigint, n.nspname::text, c.relname::text, c.relkind::text
FROM pg_partition_tree({oid}::oid::regclass) AS t
JOIN pg_class AS c ON c.oid = t.relid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE t.isleaf
ORDER BY n.nspname, c.relname
