COPY (
    SELECT {columns} FROM bitryoshka.weights
    WHERE codec_id = {codec_id} AND role = {role} AND {first} IS NOT NULL
    ORDER BY cut, dimension
) TO STDOUT (FORMAT binary)
