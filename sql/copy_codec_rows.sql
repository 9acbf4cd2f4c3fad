COPY bitryoshka.{table} ({columns}) FROM STDIN (FORMAT binary)
