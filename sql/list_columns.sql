SELECT
    n.nspname::pg_catalog.text, r.relname::pg_catalog.text, c.code_column::pg_catalog.text,
    c.codec, c.state, c.prefix_bits
FROM bitryoshka.code_columns AS c
JOIN pg_catalog.pg_class AS r ON r.oid OPERATOR(pg_catalog.=) c.relation
JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) r.relnamespace
ORDER BY 1, 2, 3
