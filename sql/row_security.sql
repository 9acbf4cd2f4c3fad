SELECT c.oid::pg_catalog.regclass::pg_catalog.text
FROM pg_catalog.pg_class AS c
WHERE pg_catalog.row_security_active(c.oid) AND (
    c.oid OPERATOR(pg_catalog.=) {oid}::pg_catalog.oid
    OR c.oid OPERATOR(pg_catalog.=) ANY (
        SELECT t.relid
            FROM pg_catalog.pg_partition_tree({oid}::pg_catalog.oid::pg_catalog.regclass) AS t)
)
LIMIT 1
