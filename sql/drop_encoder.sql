DROP FUNCTION IF EXISTS bitryoshka.{encoder}({pgvector}.vector)
