COPY (
    SELECT ctid, xmin, {vector} FROM ONLY {table}
    WHERE {within} AND {code} IS NULL AND {vector} IS NOT NULL AND {has_code}
) TO STDOUT (FORMAT binary)
