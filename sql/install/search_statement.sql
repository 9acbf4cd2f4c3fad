CREATE OR REPLACE FUNCTION bitryoshka.search_statement(
    relation regclass,
    code_column text DEFAULT 'code',
    k integer DEFAULT 10,
    candidates integer DEFAULT 100,
    prefix_bits integer DEFAULT NULL,
    rescore boolean DEFAULT true,
    exact integer DEFAULT 0,
    filter text DEFAULT NULL
) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    one record;
    title text;
    pgvector text;
    code text;
    beginning text;
    distance text;
    prefix integer;
    vector_type text;
    similarity text;
    at_once boolean;
    best text := 'bitryoshka_candidates';
    statement text;
BEGIN
    SELECT
        concat(quote_ident(n.nspname::text), '.', quote_ident(r.relname::text)),
        quote_ident(v.nspname::text)
    INTO title, pgvector
    FROM pg_class AS r
    JOIN pg_namespace AS n ON n.oid = r.relnamespace
    CROSS JOIN pg_extension AS e
    JOIN pg_namespace AS v ON v.oid = e.extnamespace
    WHERE r.oid = search_statement.relation AND e.extname = 'vector';
    SELECT
        c.id, c.code_column::text, c.vector_column, c.prefix_bits, k.metric, k.bits, k.hamming_bits,
        k.nested_bits
    INTO one
    FROM bitryoshka.columns AS c JOIN bitryoshka.codecs AS k ON k.id = c.codec_id
    WHERE c.relation = search_statement.relation
        AND c.search_name::text = search_statement.code_column;
    IF one.id IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'undefined_object',
            MESSAGE = concat('no codec is attached to column ', quote_ident(code_column),
                ' of ', title),
            HINT = 'SELECT * FROM bitryoshka.code_columns lists the columns of codes.';
    END IF;
    prefix := coalesce(search_statement.prefix_bits, one.prefix_bits, one.hamming_bits);
    IF NOT (prefix = ANY (one.nested_bits) AND prefix <= one.hamming_bits) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = concat('prefix_bits must be one of ', one.nested_bits::text, ' up to ',
                one.hamming_bits, ', found ', prefix);
    END IF;
    IF (1 <= k AND k <= candidates AND exact <= candidates AND (exact = 0 OR exact >= k))
        IS NOT TRUE
    THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = concat('expected 1 <= k <= exact (or 0) <= candidates, found k = ',
                coalesce(k::text, 'NULL'), ', exact = ', coalesce(exact::text, 'NULL'),
                ', candidates = ', coalesce(candidates::text, 'NULL'));
    END IF;
    IF exact > 0 AND one.vector_column IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = concat(title, ' has codes alone, found exact = ', exact);
    END IF;
    -- a type of the table owner's own could bring casts of its own
    IF NOT EXISTS (
        SELECT FROM pg_attribute AS a
        WHERE a.attrelid = search_statement.relation AND a.attname::text = one.code_column
            AND a.atttypid = 'bit'::regtype AND a.atttypmod = one.bits
    ) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'undefined_column',
            MESSAGE = concat('expected a column ', quote_ident(one.code_column), ' bit(',
                one.bits, ') in ', title, ', found none');
    END IF;
    -- names of the statement's own, which no table and no column is likely to have
    code := concat('bitryoshka_row.', quote_ident(one.code_column));
    beginning := code;
    IF prefix < one.bits THEN
        beginning := concat('substring(', code, ' FROM 1 FOR ', prefix, ')::bit(', prefix, ')');
    END IF;
    distance := concat(beginning, ' OPERATOR(', pgvector, '.<~>) $1::bit(', prefix, ')');
    IF exact > 0 THEN
        SELECT v.kind INTO vector_type
        FROM bitryoshka.vector_type(search_statement.relation, one.vector_column) AS v;
        IF vector_type IS NULL THEN
            RAISE EXCEPTION USING
                ERRCODE = 'undefined_column',
                MESSAGE = concat('expected a column ', quote_ident(one.vector_column::text),
                    ' of type vector or halfvec in ', title, ', found none');
        END IF;
        similarity := concat(
            'OPERATOR(pg_catalog.-) (bitryoshka_row.', quote_ident(one.vector_column::text),
            ' OPERATOR(', pgvector, '.',
            CASE one.metric WHEN 'cosine' THEN '<=>' ELSE '<#>' END,
            ') $3::', pgvector, '.', vector_type, ')');
    END IF;
    -- where every candidate is compared by its vector, one look at its row is enough
    at_once := exact = candidates AND NOT rescore;
    statement := concat(
        'WITH bitryoshka_candidates AS MATERIALIZED (', E'\n',
        '    SELECT bitryoshka_row.tableoid AS part, bitryoshka_row.ctid AS place, ',
        CASE WHEN at_once THEN similarity ELSE concat(code, ' AS code,', E'\n',
            '        OPERATOR(pg_catalog.-) (', distance, ')') END,
        ' AS score', E'\n',
        '    FROM ', title, ' AS bitryoshka_row', E'\n',
        '    WHERE ', code, ' IS NOT NULL', ' AND (' || filter || E'\n    )', E'\n',
        '    ORDER BY ', distance, E'\n',
        '    LIMIT ', candidates, E'\n', ')');
    IF rescore THEN
        statement := concat(statement,
            ', bitryoshka_scored AS MATERIALIZED (', E'\n',
            '    SELECT part, place, bitryoshka.asymmetric_score(code, $2) AS score', E'\n',
            '    FROM bitryoshka_candidates', E'\n',
            '    ORDER BY score DESC, part, place', E'\n',
            '    LIMIT ', greatest(k, exact), E'\n', ')');
        best := 'bitryoshka_scored';
    END IF;
    IF exact > 0 AND NOT at_once THEN
        statement := concat(statement,
            ', bitryoshka_shortlist AS MATERIALIZED (', E'\n',
            '    SELECT part, place FROM ', best, E'\n',
            '    ORDER BY score DESC, part, place', E'\n',
            '    LIMIT ', exact, E'\n',
            '), bitryoshka_compared AS MATERIALIZED (', E'\n',
            '    SELECT s.part, s.place, ', similarity, ' AS score', E'\n',
            '    FROM bitryoshka_shortlist AS s JOIN ', title, ' AS bitryoshka_row ON ',
            'bitryoshka_row.ctid OPERATOR(pg_catalog.=) s.place AND ',
            'bitryoshka_row.tableoid OPERATOR(pg_catalog.=) s.part', E'\n', ')');
        best := 'bitryoshka_compared';
    END IF;
    RETURN concat(statement, E'\n',
        'SELECT bitryoshka_row AS item, b.score::double precision AS score', E'\n',
        'FROM (SELECT * FROM ', best, ' ORDER BY score DESC, part, place LIMIT ', k, ') AS b',
        E'\n', 'JOIN ', title, ' AS bitryoshka_row ON ',
        'bitryoshka_row.ctid OPERATOR(pg_catalog.=) b.place AND ',
        'bitryoshka_row.tableoid OPERATOR(pg_catalog.=) b.part', E'\n',
        'ORDER BY b.score DESC, b.part, b.place');
END
$$;
COMMENT ON FUNCTION bitryoshka.search_statement(
    regclass, text, integer, integer, integer, boolean, integer, text) IS
'The statement that bitryoshka.search runs, to be read, prepared, changed and owned. $1 is the
query''s bits (encode_query, cut to the prefix), $2 its planes (query_planes), $3 the query itself,
$4 the values of the filter. All but the filter is named with its schema. Run it with
hnsw.ef_search at candidates or more, and with hnsw.iterative_scan on where it has a filter.';
