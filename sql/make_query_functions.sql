SELECT bitryoshka.make_query_functions({codec_id})
