SELECT pg_catalog.count({vector}), coalesce(pg_catalog.max({pgvector}.vector_dims({vector})), 0)
    FROM {table}
