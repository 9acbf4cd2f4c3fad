COPY (
    SELECT {columns} FROM bitryoshka.weights
    WHERE codec_id OPERATOR(pg_catalog.=) {codec_id} AND role OPERATOR(pg_catalog.=) {role}
        AND {first} IS NOT NULL
    ORDER BY cut, dimension
) TO STDOUT (FORMAT binary)
