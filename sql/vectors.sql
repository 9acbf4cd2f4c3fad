-- Vectors that a table goes on without.

-- name: allow_no_vectors
ALTER TABLE {table} ALTER COLUMN {aside} DROP NOT NULL

-- name: columns_of_vectors
-- columns of codes in the table itself
SELECT c.code_column::pg_catalog.text FROM bitryoshka.columns AS c
WHERE c.relation OPERATOR(pg_catalog.=) {oid}::pg_catalog.oid
    AND c.vector_column::pg_catalog.text OPERATOR(pg_catalog.=) {vector}

-- name: drop_vectors
ALTER TABLE {table} DROP COLUMN {aside}

-- name: lone_codes
SELECT pg_catalog.count(*) FROM {codes} AS n
WHERE n.{code} IS NOT NULL AND EXISTS (
    SELECT FROM {table} AS t WHERE {same} AND t.{vector} IS NULL)

-- name: rename_vectors
ALTER TABLE {table} RENAME COLUMN {vector} TO {aside}

-- name: weigh_vectors
-- as they are stored, with the indexes on them, those of partitions too
SELECT
    pg_catalog.count({vector}), coalesce(pg_catalog.sum(pg_catalog.pg_column_size({vector})), 0),
    (
        SELECT coalesce(pg_catalog.sum(pg_catalog.pg_relation_size(x.oid::pg_catalog.regclass)), 0)
        FROM pg_catalog.pg_class AS x
        WHERE x.relkind OPERATOR(pg_catalog.=) 'i' AND EXISTS (
            SELECT FROM pg_catalog.pg_depend AS d
            JOIN pg_catalog.pg_attribute AS a ON a.attrelid OPERATOR(pg_catalog.=) d.refobjid
                AND a.attnum::integer OPERATOR(pg_catalog.=) d.refobjsubid
            WHERE d.objid OPERATOR(pg_catalog.=) x.oid
                AND d.classid OPERATOR(pg_catalog.=)
                    'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid
                AND d.refclassid OPERATOR(pg_catalog.=)
                    'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid
                AND a.attname::pg_catalog.text OPERATOR(pg_catalog.=) {column}
                AND (d.refobjid OPERATOR(pg_catalog.=)
                    {name}::pg_catalog.regclass::pg_catalog.oid
                OR d.refobjid OPERATOR(pg_catalog.=) ANY (
                    SELECT p.relid::pg_catalog.oid FROM pg_catalog.pg_partition_tree(
                        {name}::pg_catalog.regclass) AS p))
        )
    )
FROM {table}
