SELECT bitryoshka.fill_code_column({table}::regclass, {code})
