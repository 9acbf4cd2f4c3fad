CREATE INDEX {index} ON {table} USING hnsw (vector vector_cosine_ops)
