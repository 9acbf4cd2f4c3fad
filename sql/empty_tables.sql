-- tables in which a codec has no rows
SELECT t.name
FROM (VALUES
    ('weights', EXISTS (SELECT FROM bitryoshka.weights AS x WHERE x.codec_id OPERATOR(pg_catalog.=) {id})),
    ('code_bits', EXISTS (SELECT FROM bitryoshka.code_bits AS x WHERE x.codec_id OPERATOR(pg_catalog.=) {id})),
    ('cuts', EXISTS (SELECT FROM bitryoshka.cuts AS x WHERE x.codec_id OPERATOR(pg_catalog.=) {id})),
    ('additive', EXISTS (SELECT FROM bitryoshka.additive AS x WHERE x.codec_id OPERATOR(pg_catalog.=) {id})),
    ('additive_lengths', EXISTS (
        SELECT FROM bitryoshka.additive_lengths AS x WHERE x.codec_id OPERATOR(pg_catalog.=) {id})),
    ('decoder', EXISTS (SELECT FROM bitryoshka.decoder AS x WHERE x.codec_id OPERATOR(pg_catalog.=) {id})),
    ('gram', EXISTS (SELECT FROM bitryoshka.gram AS x WHERE x.codec_id OPERATOR(pg_catalog.=) {id}))
) AS t (name, filled)
WHERE NOT t.filled
