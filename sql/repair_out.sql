COPY (
    SELECT
        ctid, xmin, {vector}, coalesce({code}, {zeros}::bit({bits})),
        ({code} IS NULL)::integer
    FROM ONLY {table}
    WHERE {within} AND {vector} IS NOT NULL AND {has_code}
) TO STDOUT (FORMAT binary)
