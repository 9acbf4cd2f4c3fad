SELECT to_regclass('bitryoshka.code_columns')::text
