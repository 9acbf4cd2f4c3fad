SELECT bitryoshka.drop_code_column({table}::regclass, {code})
