COPY (
    SELECT {vector}, {code} FROM {source}
    WHERE {within} AND {vector} IS NOT NULL AND {has_code} AND {code} IS NOT NULL
) TO STDOUT (FORMAT binary)
