COPY (
    SELECT {vector}, {code} FROM {table} TABLESAMPLE BERNOULLI ({percent})
    WHERE {vector} IS NOT NULL AND {has_code} AND {code} IS NOT NULL
) TO STDOUT (FORMAT binary)
