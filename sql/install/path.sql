-- Functions keep the search_path that is current when they are created: pg_catalog, the schema
-- that pgvector lives in, and the session's own last. CREATE EXTENSION sets such a path by itself.
SELECT pg_catalog.set_config(
    'search_path',
    (SELECT pg_catalog.concat('pg_catalog, ', pg_catalog.quote_ident(n.nspname), ', pg_temp')
     FROM pg_catalog.pg_extension AS e JOIN pg_catalog.pg_namespace AS n ON n.oid = e.extnamespace
     WHERE e.extname = 'vector'),
    true
);
