-- columns of the catalogue, adopted ones too, which have no vectors; whole: whether the table still
-- has the columns that the entry names
SELECT
    n.nspname::pg_catalog.text, r.relname::pg_catalog.text, c.code_column::pg_catalog.text,
    c.vector_column::pg_catalog.text, c.codec, k.dimensions, c.bad_vectors, c.prefix_bits,
    a.attname IS NOT NULL AND (c.vector_column IS NULL OR v.attname IS NOT NULL)
FROM bitryoshka.code_columns AS c
JOIN bitryoshka.codecs AS k ON k.label OPERATOR(pg_catalog.=) c.codec
JOIN pg_catalog.pg_class AS r ON r.oid OPERATOR(pg_catalog.=) c.relation
JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) r.relnamespace
LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid OPERATOR(pg_catalog.=) r.oid
    AND a.attname OPERATOR(pg_catalog.=) c.code_column AND NOT a.attisdropped
LEFT JOIN pg_catalog.pg_attribute AS v ON v.attrelid OPERATOR(pg_catalog.=) r.oid
    AND v.attname OPERATOR(pg_catalog.=) c.vector_column AND NOT v.attisdropped
