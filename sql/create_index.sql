CREATE INDEX {index} ON {table} USING hnsw (({prefix}) {pgvector}.bit_hamming_ops)
WITH (m = {m}, ef_construction = {ef_construction})
