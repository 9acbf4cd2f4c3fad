SELECT a.attname, CASE
        WHEN y.typname OPERATOR(pg_catalog.=) 'vector' OR y.typname OPERATOR(pg_catalog.=) 'halfvec'
        THEN pg_catalog.concat(y.typname::pg_catalog.text, '(', a.atttypmod, ')')
        ELSE pg_catalog.format_type(a.atttypid, a.atttypmod)
    END, pg_catalog.col_description(a.attrelid, a.attnum)
FROM pg_catalog.pg_attribute AS a
    JOIN pg_catalog.pg_type AS y ON y.oid OPERATOR(pg_catalog.=) a.atttypid
WHERE a.attrelid OPERATOR(pg_catalog.=) pg_catalog.to_regclass({table})
    AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped
ORDER BY a.attnum
