SELECT bitryoshka.add_code_column(
    {table}::pg_catalog.regclass, {vector}, {codec}, {code}, {bad_vectors}, {prefix_bits},
    {published}
)
