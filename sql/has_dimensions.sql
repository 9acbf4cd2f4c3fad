{pgvector}.vector_dims({vector}) = {dimensions}
