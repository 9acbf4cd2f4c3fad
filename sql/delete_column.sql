DELETE FROM bitryoshka.columns WHERE id = {column_id}
