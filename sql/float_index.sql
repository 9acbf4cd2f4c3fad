CREATE INDEX {index} ON {table} USING hnsw (vector {pgvector}.vector_cosine_ops)
