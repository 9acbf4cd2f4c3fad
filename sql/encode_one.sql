SELECT bitryoshka.encode({codec}, {vector}::{pgvector}.vector)::pg_catalog.text
