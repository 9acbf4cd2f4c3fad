SELECT
    n.nspname::text, r.relname::text, c.code_column::text, c.vector_column::text, c.codec,
    c.bad_vectors, c.prefix_bits
FROM bitryoshka.code_columns AS c
JOIN pg_catalog.pg_class AS r ON r.oid = c.relation
JOIN pg_catalog.pg_namespace AS n ON n.oid = r.relnamespace
WHERE c.vector_column IS NOT NULL
