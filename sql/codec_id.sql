(SELECT id FROM bitryoshka.codecs WHERE label OPERATOR(pg_catalog.=) {label})
