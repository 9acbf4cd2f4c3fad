SELECT bitryoshka.drop_codec({label})
