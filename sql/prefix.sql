substring({code} FROM 1 FOR {prefix_bits})::bit({prefix_bits})
