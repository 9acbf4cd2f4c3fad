SELECT id, name, version, fingerprint, metric, dimensions, bits, hamming_bits, nested_bits
FROM bitryoshka.codecs
ORDER BY name, version
