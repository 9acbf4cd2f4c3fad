SELECT coalesce(pg_catalog.current_schema()::pg_catalog.text, 'public')
