SELECT info::pg_catalog.text FROM bitryoshka.codecs WHERE id OPERATOR(pg_catalog.=) {codec_id}
