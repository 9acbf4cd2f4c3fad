COPY pg_temp.bitryoshka_batch (place, version, code) FROM STDIN (FORMAT binary)
