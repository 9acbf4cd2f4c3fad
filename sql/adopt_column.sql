INSERT INTO bitryoshka.columns (
    relation, vector_column, code_column, codec_id, bad_vectors, prefix_bits, state, search_name
)
VALUES ({oid}::pg_catalog.oid, NULL, {code}, {codec_id}, 'reject', {prefix_bits}, 'ready', {code})
