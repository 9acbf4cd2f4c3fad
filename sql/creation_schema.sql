SELECT coalesce(current_schema()::text, 'public')
