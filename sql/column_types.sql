-- a type has its plain name where it is built in or pgvector's; others bear their schema
SELECT
    a.attname::pg_catalog.text,
    CASE
        WHEN n.nspname OPERATOR(pg_catalog.=) 'pg_catalog'
            OR e.extnamespace OPERATOR(pg_catalog.=) n.oid
            AND (y.typname OPERATOR(pg_catalog.=) 'vector'
                OR y.typname OPERATOR(pg_catalog.=) 'halfvec')
        THEN y.typname::pg_catalog.text
        ELSE pg_catalog.concat(n.nspname::pg_catalog.text, '.', y.typname::pg_catalog.text)
    END,
    a.atttypmod,
    a.attgenerated OPERATOR(pg_catalog.<>) ''
FROM pg_catalog.pg_attribute AS a
JOIN pg_catalog.pg_type AS y ON y.oid OPERATOR(pg_catalog.=) a.atttypid
JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) y.typnamespace
LEFT JOIN pg_catalog.pg_extension AS e ON e.extname OPERATOR(pg_catalog.=) 'vector'
WHERE a.attrelid OPERATOR(pg_catalog.=) {oid}::pg_catalog.oid
    AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped
