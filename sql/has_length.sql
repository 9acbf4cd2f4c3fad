{pgvector}.vector_norm({vector}::{pgvector}.vector) OPERATOR(pg_catalog.>) 0
