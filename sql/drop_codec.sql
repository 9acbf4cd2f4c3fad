DELETE FROM bitryoshka.codecs WHERE id = {codec_id}
