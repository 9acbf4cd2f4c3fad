-- columns of a codec's codes that the table has no more under their names
SELECT c.code_column::pg_catalog.text
FROM bitryoshka.columns AS c JOIN bitryoshka.codecs AS k ON k.id OPERATOR(pg_catalog.=) c.codec_id
WHERE c.relation OPERATOR(pg_catalog.=) {oid}::pg_catalog.oid
    AND k.label OPERATOR(pg_catalog.=) {codec} AND c.vector_column IS NOT NULL
    AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_attribute AS a
        WHERE a.attrelid OPERATOR(pg_catalog.=) c.relation
            AND a.attname OPERATOR(pg_catalog.=) c.code_column
            AND a.attnum OPERATOR(pg_catalog.>) 0)
