-- Codecs: written into the catalogue, listed and read back.

-- name: additive_settings
SELECT score_weight, sweeps, flips::pg_catalog.text
    FROM bitryoshka.additive WHERE codec_id OPERATOR(pg_catalog.=) {codec_id}

-- name: begin_codec
SELECT bitryoshka.begin_codec(
    {name}, {version}, {fingerprint}, {metric}, {dimensions}, {bits}, {hamming_bits},
    {nested_bits}::integer[], {info}::json, {kind}
)

-- name: codec_id
(SELECT id FROM bitryoshka.codecs WHERE label OPERATOR(pg_catalog.=) {label})

-- name: codec_info
SELECT info::pg_catalog.text FROM bitryoshka.codecs WHERE id OPERATOR(pg_catalog.=) {codec_id}

-- name: codec_lock
-- only who may write codecs may lock them so
LOCK TABLE bitryoshka.codecs IN SHARE ROW EXCLUSIVE MODE

-- name: codec_metric
SELECT k.metric FROM bitryoshka.codecs AS k WHERE k.label OPERATOR(pg_catalog.=) ({codec})

-- name: codecs
SELECT id, name, version, fingerprint, metric, dimensions, bits, hamming_bits, nested_bits
FROM bitryoshka.codecs
ORDER BY name, version

-- name: codecs_table
-- the catalogue; what the newest revision has; whether functions look for pgvector where it is
SELECT
    pg_catalog.to_regclass('bitryoshka.codecs')::pg_catalog.text,
    pg_catalog.to_regprocedure(
        'bitryoshka.codec_of(pg_catalog.text, pg_catalog.text)'
    )::pg_catalog.text,
    (
        SELECT pg_catalog.strpos(
            p.prosrc,
            pg_catalog.concat(pg_catalog.quote_ident(v.nspname::pg_catalog.text), '.vector_dims('))
            OPERATOR(pg_catalog.>) 0
        FROM pg_catalog.pg_proc AS p
        JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) p.pronamespace
        CROSS JOIN pg_catalog.pg_extension AS e
        JOIN pg_catalog.pg_namespace AS v ON v.oid OPERATOR(pg_catalog.=) e.extnamespace
        WHERE n.nspname OPERATOR(pg_catalog.=) 'bitryoshka'
            AND p.proname OPERATOR(pg_catalog.=) 'check_vector'
            AND e.extname OPERATOR(pg_catalog.=) 'vector'
    )

-- name: copy_additive_lengths_out
COPY (
    SELECT bits, weight, centre FROM bitryoshka.additive_lengths
    WHERE codec_id OPERATOR(pg_catalog.=) {codec_id} ORDER BY bits
) TO STDOUT (FORMAT binary)

-- name: copy_code_bits_out
COPY (
    SELECT dimension, plane
        FROM bitryoshka.code_bits WHERE codec_id OPERATOR(pg_catalog.=) {codec_id} ORDER BY position
) TO STDOUT (FORMAT binary)

-- name: copy_codec_rows
COPY bitryoshka.{table} ({columns}) FROM STDIN (FORMAT binary)

-- name: copy_cuts_out
COPY (
    SELECT levels
        FROM bitryoshka.cuts WHERE codec_id OPERATOR(pg_catalog.=) {codec_id} ORDER BY bits
) TO STDOUT (FORMAT binary)

-- name: copy_decoder_out
COPY (
    SELECT weights
        FROM bitryoshka.decoder
        WHERE codec_id OPERATOR(pg_catalog.=) {codec_id} ORDER BY bits, position
) TO STDOUT (FORMAT binary)

-- name: copy_weights_out
COPY (
    SELECT {columns} FROM bitryoshka.weights
    WHERE codec_id OPERATOR(pg_catalog.=) {codec_id} AND role OPERATOR(pg_catalog.=) {role}
        AND {first} IS NOT NULL
    ORDER BY cut, dimension
) TO STDOUT (FORMAT binary)

-- name: declared_codec
SELECT k.bits, k.dimensions, k.hamming_bits, k.nested_bits::pg_catalog.text
FROM bitryoshka.codecs AS k WHERE k.label OPERATOR(pg_catalog.=) {codec}

-- name: drop_codec
SELECT bitryoshka.drop_codec({label})

-- name: empty_tables
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

-- name: insert_codec
INSERT INTO bitryoshka.codecs (
    name, version, fingerprint, metric, dimensions, bits, hamming_bits, nested_bits, info, kind
)
VALUES (
    {name}, {version}, {fingerprint}, {metric}, {dimensions}, {bits}, {hamming_bits}, {nested_bits},
    {info}, {kind}
)
RETURNING id

-- name: insert_codec_rows
INSERT INTO bitryoshka.{table} (codec_id, {columns}) VALUES
{rows}
ON CONFLICT DO NOTHING

-- name: make_query_functions
SELECT bitryoshka.make_query_functions({codec_id})

-- name: write_gram
SELECT bitryoshka.write_gram({codec_id})
