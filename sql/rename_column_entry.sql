UPDATE bitryoshka.columns SET code_column = {code} WHERE id = {column_id}
