SELECT bitryoshka.restore_column({column_id}, {vector}, {code}, {published})
