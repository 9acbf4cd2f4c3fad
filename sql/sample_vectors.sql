COPY (
    SELECT {vector} FROM {table} TABLESAMPLE BERNOULLI ({percent}) REPEATABLE ({seed})
    WHERE {vector} IS NOT NULL
    LIMIT {limit}
) TO STDOUT (FORMAT binary)
