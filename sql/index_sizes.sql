SELECT indexname::pg_catalog.text, pg_catalog.pg_relation_size((pg_catalog.quote_ident(schemaname)
    OPERATOR(pg_catalog.||) '.'
    OPERATOR(pg_catalog.||) pg_catalog.quote_ident(indexname))::pg_catalog.regclass)
FROM pg_catalog.pg_indexes
WHERE schemaname OPERATOR(pg_catalog.=) {schema}
ORDER BY indexname
