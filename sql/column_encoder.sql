SELECT n.nspname::pg_catalog.text, p.proname::pg_catalog.text
FROM bitryoshka.column_functions({column_id}, {oid}::pg_catalog.oid) AS f
JOIN pg_catalog.pg_proc AS p ON p.oid OPERATOR(pg_catalog.=) f
JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) p.pronamespace
WHERE p.proname::pg_catalog.text OPERATOR(pg_catalog.=) {name}
