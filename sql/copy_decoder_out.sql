COPY (
    SELECT weights
        FROM bitryoshka.decoder
        WHERE codec_id OPERATOR(pg_catalog.=) {codec_id} ORDER BY bits, position
) TO STDOUT (FORMAT binary)
