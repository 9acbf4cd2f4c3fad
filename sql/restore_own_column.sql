SELECT bitryoshka.restore_column(
    bitryoshka.own_column({table}::pg_catalog.regclass, {code}), {vector}, {code}, false
)
