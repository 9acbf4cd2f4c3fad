COPY (
    SELECT levels FROM bitryoshka.cuts WHERE codec_id = {codec_id} ORDER BY bits
) TO STDOUT (FORMAT binary)
