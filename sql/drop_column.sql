SELECT bitryoshka.drop_column({column_id})
