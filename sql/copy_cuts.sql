COPY bitryoshka.cuts (codec_id, bits, levels) FROM STDIN (FORMAT binary)
