SELECT c.id, c.vector_column::text, k.label, c.bad_vectors, c.prefix_bits, c.state
FROM bitryoshka.columns AS c JOIN bitryoshka.codecs AS k ON k.id = c.codec_id
WHERE c.relation = {oid}::oid AND c.code_column = {code}
