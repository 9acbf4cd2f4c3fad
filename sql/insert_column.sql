INSERT INTO bitryoshka.columns (
    relation, vector_column, code_column, codec_id, bad_vectors, prefix_bits
)
VALUES ({oid}::oid, {vector}, {code}, {codec_id}, {bad_vectors}, {prefix_bits})
RETURNING id
