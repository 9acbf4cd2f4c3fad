SELECT c.oid::bigint, n.nspname::pg_catalog.text, c.relname::pg_catalog.text,
    c.relkind::pg_catalog.text
FROM pg_catalog.pg_partition_tree({oid}::pg_catalog.oid::pg_catalog.regclass) AS t
JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) t.relid
JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
WHERE t.isleaf
ORDER BY n.nspname, c.relname
