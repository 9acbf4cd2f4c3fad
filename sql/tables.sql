-- Tables that Python fills with codes, and those of the demo.

-- name: comment_codec
COMMENT ON COLUMN {table}.code IS {codec}

-- name: copy_rows
COPY {table} ({columns}) FROM STDIN (FORMAT binary)

-- name: create_table
CREATE TABLE {table} (
    id bigint PRIMARY KEY,
    code bit({bits}) NOT NULL{vector_column}
)

-- name: demo_schema
DROP SCHEMA IF EXISTS {schema} CASCADE;
CREATE SCHEMA {schema}

-- name: float_index
CREATE INDEX {index} ON {table} USING hnsw (vector {pgvector}.vector_cosine_ops)

-- name: float_search
SELECT id
FROM {table}
ORDER BY vector OPERATOR({pgvector}.<=>) {query}::{pgvector}.vector({dimensions})
LIMIT {k}

-- name: vector_column
,
    vector {pgvector}.{vector_type}({dimensions}) NOT NULL
