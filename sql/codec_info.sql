SELECT info::text FROM bitryoshka.codecs WHERE id = {codec_id}
