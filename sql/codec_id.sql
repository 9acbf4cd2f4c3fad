(SELECT id FROM bitryoshka.codecs WHERE label = {label})
