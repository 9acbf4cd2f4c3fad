SELECT indexname::text, pg_relation_size((quote_ident(schemaname) || '.' || quote_ident(indexname))::regclass)
FROM pg_indexes
WHERE schemaname = {schema}
ORDER BY indexname
