COPY (
    SELECT weights FROM bitryoshka.decoder WHERE codec_id = {codec_id} ORDER BY bits, position
) TO STDOUT (FORMAT binary)
