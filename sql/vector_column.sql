,
    vector {vector_type}({dimensions}) NOT NULL
