SELECT bitryoshka.add_code_column(
    {table}::regclass, {vector}, {codec}, {code}, {bad_vectors}, {prefix_bits}
)
