    RETURN (
        SELECT string_agg(CASE WHEN (w <#> input) * scale > t THEN '1' ELSE '0' END, '')
        FROM (
            SELECT
                unnest(bitryoshka.codec_weights({codec_id})) AS w,
                unnest(bitryoshka.codec_numbers({codec_id}, 'threshold')) AS t
        ) AS x
    )::varbit;
