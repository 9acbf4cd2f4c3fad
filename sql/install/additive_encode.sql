-- The encoder that takes any codec reads its tables for every vector, in the order of an index.
DO $$
DECLARE
    body text := bitryoshka.additive_body();
BEGIN
    body := replace(body, '{projection}', '(
        SELECT w.weights, w.threshold FROM bitryoshka.weights AS w
        WHERE w.codec_id = {codec} AND w.role = ''row'' AND w.cut = 0
        ORDER BY w.dimension
    )');
    body := replace(body, '{decoder}', '(
        SELECT d.weights, length_weights[array_position(lengths, d.bits)]
        FROM bitryoshka.decoder AS d
        WHERE d.codec_id = {codec}
        ORDER BY d.bits, d.position
    )');
    body := replace(body, '{gram}', '(
        SELECT g.products FROM bitryoshka.gram AS g
        WHERE g.codec_id = {codec}
        ORDER BY g.position
    )');
    body := replace(body, '{gram row}', '(
                SELECT g.products FROM bitryoshka.gram AS g
                WHERE g.codec_id = {codec} AND g.position = place - 1)');
    EXECUTE concat(
        'CREATE OR REPLACE FUNCTION bitryoshka.additive_encode(codec_id integer, input ',
        bitryoshka.pgvector(), '.vector, scale double precision) RETURNS bit ',
        'LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE COST 100000 ',
        'SET search_path = pg_catalog, pg_temp SET enable_sort = off SET enable_bitmapscan = off ',
        'SET plan_cache_mode = force_generic_plan AS ',
        quote_literal(replace(body, '{codec}', 'additive_encode.codec_id')));
END
$$;
COMMENT ON FUNCTION bitryoshka.additive_encode(integer, {pgvector}.vector, double precision) IS
'What encode does for an additive codec, and a vector that fits it; scale: -1 / its length, or -1
where the codec compares by inner product.';
