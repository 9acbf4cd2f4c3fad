,
    vector {pgvector}.{vector_type}({dimensions}) NOT NULL
