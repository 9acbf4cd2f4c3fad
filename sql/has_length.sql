{pgvector}.vector_norm({vector}::{pgvector}.vector) > 0
