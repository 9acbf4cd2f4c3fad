CREATE INDEX {concurrently}{index} ON {table} USING hnsw (({expression}) {opclass})
WITH (m = {m}, ef_construction = {ef_construction})
