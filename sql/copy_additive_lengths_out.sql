COPY (
    SELECT bits, weight, centre FROM bitryoshka.additive_lengths
    WHERE codec_id = {codec_id} ORDER BY bits
) TO STDOUT (FORMAT binary)
