COPY (
    SELECT bits, weight, centre FROM bitryoshka.additive_lengths
    WHERE codec_id OPERATOR(pg_catalog.=) {codec_id} ORDER BY bits
) TO STDOUT (FORMAT binary)
