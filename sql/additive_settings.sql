SELECT score_weight, sweeps, flips::pg_catalog.text
    FROM bitryoshka.additive WHERE codec_id OPERATOR(pg_catalog.=) {codec_id}
