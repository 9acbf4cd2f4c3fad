SELECT bitryoshka.rename_code_column({table}::regclass, {code}, {name})
