-- What encode_query and query_planes give for a whole code, by functions of each codec's own, whose
-- plans hold its arrays as constants, as those of a column's encoder do: a search then reads no row
-- of the codec. They are named by its fingerprint, since a codec that is restored may get another id.
CREATE OR REPLACE FUNCTION bitryoshka.codec_query_weights(codec_id integer, role text)
    RETURNS {pgvector}.vector[]
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found {pgvector}.vector[] := (
        SELECT array_agg(w.weights ORDER BY w.dimension)
        FROM bitryoshka.codecs AS k JOIN bitryoshka.weights AS w ON w.codec_id = k.id
        WHERE k.id = codec_query_weights.codec_id AND w.role = codec_query_weights.role
            AND w.cut = CASE w.role WHEN 'query weights' THEN k.bits ELSE 0 END);
BEGIN
    IF found IS NULL OR array_position(found, NULL) IS NOT NULL THEN
        PERFORM bitryoshka.refuse_incomplete(codec_id);
    END IF;
    RETURN found;
END
$$;
COMMENT ON FUNCTION bitryoshka.codec_query_weights(integer, text) IS
'The weights of a codec for the bits of queries (role query bits), or for the scores of whole codes
(role query weights).';

CREATE OR REPLACE FUNCTION bitryoshka.query_function(one bitryoshka.codecs, kind text) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT concat('bitryoshka.query_', kind, '_', left(one.fingerprint, 32))
$$;
COMMENT ON FUNCTION bitryoshka.query_function(bitryoshka.codecs, text) IS
'Name of the function that makes the bits or the planes of a query for a codec (kind bits, planes).';

CREATE OR REPLACE FUNCTION bitryoshka.make_query_functions(codec_id integer) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    one bitryoshka.codecs;
    pgvector text := bitryoshka.pgvector();
    owner oid := (SELECT n.nspowner FROM pg_namespace AS n WHERE n.nspname = 'bitryoshka');
    own_weights boolean;
    own_thresholds boolean;
    own_planes boolean;
    head text;
    product text := concat('(w OPERATOR(', pgvector, '.<#>) input) * scale');
    content text;
    made text;
    kind text;
BEGIN
    -- who may not make them does without: searches take encode_query and query_planes then
    IF NOT pg_has_role(current_user, owner, 'USAGE') THEN
        RETURN;
    END IF;
    SELECT k.* INTO one FROM bitryoshka.codecs AS k WHERE k.id = make_query_functions.codec_id;
    SELECT
        coalesce(bool_or(w.role = 'query bits' AND w.weights IS NOT NULL), false),
        coalesce(bool_or(w.role = 'query bits' AND w.threshold IS NOT NULL), false),
        coalesce(bool_or(w.role = 'query weights'), false)
    INTO own_weights, own_thresholds, own_planes
    FROM bitryoshka.weights AS w
    WHERE w.codec_id = one.id AND w.role IN ('query bits', 'query weights');
    head := concat('
    scale double precision := ', CASE one.metric
        WHEN 'cosine' THEN concat('-1 / nullif(', pgvector, '.vector_norm(input), 0)')
        ELSE '-1' END, ';
BEGIN
    IF scale IS NULL OR ', pgvector, '.vector_dims(input) <> ', one.dimensions, ' THEN
        PERFORM bitryoshka.check_vector(', concat_ws(', ', quote_literal(one.label),
            one.dimensions, quote_literal(one.metric)), ', input);
    END IF;');
    FOREACH kind IN ARRAY ARRAY['bits', 'planes'] LOOP
        IF kind = 'bits' THEN
            content := concat('
DECLARE', head, '
    RETURN (
        SELECT string_agg(CASE WHEN ', product, ' > t THEN ''1'' ELSE ''0'' END, '''')
        FROM (
            SELECT unnest(', CASE WHEN own_weights
                THEN 'bitryoshka.codec_query_weights({codec}, ''query bits'')'
                ELSE 'bitryoshka.codec_weights({codec})' END, ') AS w,
                unnest(', CASE WHEN own_thresholds
                THEN 'bitryoshka.codec_numbers({codec}, ''query threshold'')'
                ELSE 'bitryoshka.codec_numbers({codec}, ''threshold'')' END, ') AS t
        ) AS x
    )::varbit;
END
');
        ELSE
            content := concat('
DECLARE
    weights double precision[];
    unit double precision;', head, '
    SELECT array_agg(', product, ') INTO weights
    FROM (SELECT unnest(', CASE WHEN own_planes
                THEN 'bitryoshka.codec_query_weights({codec}, ''query weights'')'
                ELSE 'bitryoshka.codec_weights({codec})' END, ') AS w) AS x;',
                CASE WHEN NOT own_planes THEN '
    SELECT array_agg(weights[d] * l) INTO weights
    FROM (
        SELECT unnest(bitryoshka.codec_numbers({codec}, ''dimension'')::integer[]) AS d,
            unnest(bitryoshka.codec_numbers({codec}, ''level'')) AS l
    ) AS x;' END, '
    unit := (SELECT coalesce(nullif(max(abs(w)), 0) / 255, 1) FROM unnest(weights) AS w);
    RETURN bitryoshka.planes_of(weights, unit);
END
');
        END IF;
        made := concat(bitryoshka.query_function(one, kind), '(', pgvector, '.vector)');
        EXECUTE concat(
            'CREATE OR REPLACE FUNCTION ', bitryoshka.query_function(one, kind), '(input ',
            pgvector, '.vector) RETURNS bit', CASE kind WHEN 'planes' THEN '[]' END,
            ' LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE COST 20000 ',
            'SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS ',
            quote_literal(replace(content, '{codec}', bitryoshka.codec_call(one))));
        EXECUTE concat('ALTER FUNCTION ', made, ' OWNER TO ', owner::regrole::text);
        EXECUTE concat('GRANT EXECUTE ON FUNCTION ', made, ' TO PUBLIC');
        IF EXISTS (SELECT FROM pg_extension AS e WHERE e.extname = 'bitryoshka') THEN
            -- it goes with the extension, and a dump brings it nevertheless
            EXECUTE concat('ALTER FUNCTION ', made, ' DEPENDS ON EXTENSION bitryoshka');
        END IF;
        EXECUTE concat('COMMENT ON FUNCTION ', made, ' IS ', quote_literal(concat(
            'The ', kind, ' of a query for whole codes of ', one.label, ', with its arrays as ',
            'constants of the plan.')));
    END LOOP;
END
$$;
COMMENT ON FUNCTION bitryoshka.make_query_functions(integer) IS
'Make, or make again, the functions that encode queries by a codec, once its rows are complete.';
