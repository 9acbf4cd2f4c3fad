SELECT score_weight, sweeps, flips::text FROM bitryoshka.additive WHERE codec_id = {codec_id}
