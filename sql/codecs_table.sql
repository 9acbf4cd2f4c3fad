SELECT to_regclass('bitryoshka.codecs')::text
