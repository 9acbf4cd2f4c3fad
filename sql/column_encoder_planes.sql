    SELECT
        string_agg(CASE WHEN z > 0 THEN '1' ELSE '0' END, ''),
        array_agg((least(greatest(ceil(z / step), 1 - half), half) + half - 1)::integer)
    INTO digits, numbers
    FROM (
        SELECT (w <#> input) * scale - t AS z, step, half
        FROM (
            SELECT
                unnest(bitryoshka.codec_weights({codec_id})) AS w,
                unnest(bitryoshka.codec_numbers({codec_id}, 'threshold')) AS t,
                unnest(bitryoshka.codec_numbers({codec_id}, 'step')) AS step,
                unnest(bitryoshka.codec_numbers({codec_id}, 'half')) AS half
        ) AS x
        OFFSET 0
    ) AS y;
    RETURN (
        SELECT digits || string_agg(
            CASE WHEN numbers[d] & m <> 0 THEN '1' ELSE '0' END, '')
        FROM (
            SELECT
                unnest(bitryoshka.codec_numbers({codec_id}, 'place')::integer[]) AS d,
                unnest(bitryoshka.codec_numbers({codec_id}, 'mask')::integer[]) AS m
        ) AS x
    )::varbit;
