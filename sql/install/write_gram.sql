CREATE OR REPLACE FUNCTION bitryoshka.write_gram(codec_id integer) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
-- the decoder was written just now: its index is right whatever the statistics say
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
AS $$
DECLARE
    whole integer := (
        SELECT max(l.bits) FROM bitryoshka.additive_lengths AS l
        WHERE l.codec_id = write_gram.codec_id);
BEGIN
    INSERT INTO bitryoshka.gram (codec_id, position, products, shift, square)
    SELECT write_gram.codec_id, p.position, {pgvector}.sum(p.products), sum(p.shift), sum(p.square)
    FROM (
        SELECT
            d.position,
            (ARRAY(
                SELECT (d.weights OPERATOR({pgvector}.<#>) e.weights) * -l.weight
                FROM bitryoshka.decoder AS e
                WHERE e.codec_id = d.codec_id AND e.bits = d.bits
                ORDER BY e.position
            ) || array_fill(0::double precision,
                ARRAY[whole - l.bits]))::{pgvector}.vector AS products,
            (d.weights OPERATOR({pgvector}.<#>) l.centre) * -l.weight AS shift,
            (d.weights OPERATOR({pgvector}.<#>) d.weights) * -l.weight AS square
        FROM bitryoshka.additive_lengths AS l
        JOIN bitryoshka.decoder AS d ON d.codec_id = l.codec_id AND d.bits = l.bits
        WHERE l.codec_id = write_gram.codec_id
    ) AS p
    GROUP BY p.position
    ON CONFLICT DO NOTHING;
END
$$;
COMMENT ON FUNCTION bitryoshka.write_gram(integer) IS
'Write what encoding by an additive codec needs besides its own rows, once these are complete.';
