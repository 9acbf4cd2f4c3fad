COPY bitryoshka.weights ({columns}) FROM STDIN (FORMAT binary)
