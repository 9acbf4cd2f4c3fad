COPY (
    SELECT levels
        FROM bitryoshka.cuts WHERE codec_id OPERATOR(pg_catalog.=) {codec_id} ORDER BY bits
) TO STDOUT (FORMAT binary)
