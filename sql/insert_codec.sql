INSERT INTO bitryoshka.codecs (
    name, version, fingerprint, metric, dimensions, bits, hamming_bits, nested_bits, info, kind
)
VALUES (
    {name}, {version}, {fingerprint}, {metric}, {dimensions}, {bits}, {hamming_bits}, {nested_bits},
    {info}, {kind}
)
RETURNING id
