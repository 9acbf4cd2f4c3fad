{pgvector}.vector_dims({vector}) OPERATOR(pg_catalog.=) {dimensions}
