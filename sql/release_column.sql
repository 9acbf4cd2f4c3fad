SELECT bitryoshka.release_column({column_id})
