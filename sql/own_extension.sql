SELECT EXISTS (SELECT
    FROM pg_catalog.pg_extension WHERE extname OPERATOR(pg_catalog.=) 'bitryoshka')
