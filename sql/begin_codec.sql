SELECT bitryoshka.begin_codec(
    {name}, {version}, {fingerprint}, {metric}, {dimensions}, {bits}, {hamming_bits},
    {nested_bits}::integer[], {info}::json, {kind}
)
