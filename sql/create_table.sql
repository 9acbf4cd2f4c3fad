CREATE TABLE {table} (
    id bigint PRIMARY KEY,
    code bit({bits}) NOT NULL{vector_column}
)
