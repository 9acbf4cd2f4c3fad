SELECT bitryoshka.write_gram({codec_id})
