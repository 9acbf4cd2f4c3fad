SELECT
    c.id, c.vector_column::pg_catalog.text, k.label, c.bad_vectors, c.prefix_bits, c.state,
    c.code_column::pg_catalog.text, c.search_name::pg_catalog.text
FROM bitryoshka.columns AS c JOIN bitryoshka.codecs AS k ON k.id OPERATOR(pg_catalog.=) c.codec_id
WHERE c.relation OPERATOR(pg_catalog.=) {oid}::pg_catalog.oid
    AND (c.code_column::pg_catalog.text OPERATOR(pg_catalog.=) {code}
    OR c.search_name::pg_catalog.text OPERATOR(pg_catalog.=) {code})
