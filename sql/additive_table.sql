SELECT to_regclass('bitryoshka.additive')::text
