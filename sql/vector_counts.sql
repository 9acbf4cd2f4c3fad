SELECT count({vector}), coalesce(max({pgvector}.vector_dims({vector})), 0) FROM {table}
