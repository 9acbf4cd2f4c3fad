SELECT n.nspname::pg_catalog.text, r.relname::pg_catalog.text, a.attname::pg_catalog.text,
    a.atttypmod
FROM pg_catalog.pg_attribute AS a
JOIN pg_catalog.pg_class AS r ON r.oid OPERATOR(pg_catalog.=) a.attrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) r.relnamespace
WHERE a.atttypid OPERATOR(pg_catalog.=) 'pg_catalog.bit'::pg_catalog.regtype
    AND a.attnum OPERATOR(pg_catalog.>) 0
    AND (r.relkind OPERATOR(pg_catalog.=) 'r' OR r.relkind OPERATOR(pg_catalog.=) 'p')
