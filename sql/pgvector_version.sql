SELECT
    (SELECT extversion FROM pg_catalog.pg_extension WHERE extname OPERATOR(pg_catalog.=) 'vector'),
    (SELECT default_version
        FROM pg_catalog.pg_available_extensions WHERE name OPERATOR(pg_catalog.=) 'vector')
