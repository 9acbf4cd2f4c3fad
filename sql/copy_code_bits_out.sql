COPY (
    SELECT dimension, plane
        FROM bitryoshka.code_bits WHERE codec_id OPERATOR(pg_catalog.=) {codec_id} ORDER BY position
) TO STDOUT (FORMAT binary)
