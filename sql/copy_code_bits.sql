COPY bitryoshka.code_bits (codec_id, position, dimension, plane, mask) FROM STDIN (FORMAT binary)
