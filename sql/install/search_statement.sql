CREATE OR REPLACE FUNCTION bitryoshka.search_statement(
    relation regclass,
    code_column text DEFAULT 'code',
    k integer DEFAULT 10,
    candidates integer DEFAULT 100,
    prefix_bits integer DEFAULT NULL,
    rescore text DEFAULT 'asymmetric',
    shortlist integer DEFAULT NULL,
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
    by_codes boolean := coalesce(rescore = 'asymmetric', false) OR shortlist IS NOT NULL;
    by_vectors boolean := coalesce(rescore = 'exact', false);
    best text := 'bitryoshka_candidates';
    statement text;
    asked text;
    bits_of text;
    planes_of text;
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
        c.id, c.code_column::text, c.vector_column, c.prefix_bits, k.label, k.fingerprint, k.metric, k.bits,
        k.hamming_bits, k.nested_bits
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
    IF NOT coalesce(rescore IN ('asymmetric', 'exact'), true) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = concat('rescore must be ''asymmetric'', ''exact'' or NULL, found ',
                quote_literal(rescore));
    END IF;
    IF shortlist IS NOT NULL AND NOT by_vectors THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = concat('a shortlist is what stored vectors rank: expected rescore => ',
                '''exact'', found ', coalesce(quote_literal(rescore), 'NULL'));
    END IF;
    IF (1 <= k AND k <= coalesce(shortlist, k) AND coalesce(shortlist, k) <= candidates)
        IS NOT TRUE
    THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = concat('expected 1 <= k <= shortlist (or NULL) <= candidates, found k = ',
                coalesce(k::text, 'NULL'), ', shortlist = ', coalesce(shortlist::text, 'NULL'),
                ', candidates = ', coalesce(candidates::text, 'NULL'));
    END IF;
    IF by_vectors AND one.vector_column IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = concat(title, ' has codes alone, found rescore => ''exact''');
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
    distance := concat(beginning, ' OPERATOR(', pgvector,
        '.<~>) (SELECT code FROM bitryoshka_query)');
    IF by_vectors THEN
        SELECT v.kind INTO vector_type
        FROM bitryoshka.vector_type(search_statement.relation, one.vector_column) AS v;
        IF vector_type IS NULL THEN
            RAISE EXCEPTION USING
                ERRCODE = 'undefined_column',
                MESSAGE = concat('expected a column ', quote_ident(one.vector_column::text),
                    ' of type vector or halfvec in ', title, ', found none');
        END IF;
        similarity := concat(
            CASE one.metric WHEN 'cosine' THEN '1 ' END,
            'OPERATOR(pg_catalog.-) (bitryoshka_row.', quote_ident(one.vector_column::text),
            ' OPERATOR(', pgvector, '.',
            CASE one.metric WHEN 'cosine' THEN '<=>' ELSE '<#>' END,
            ') $1::', pgvector, '.vector::', pgvector, '.', vector_type, ')');
    END IF;
    asked := concat('$1::', pgvector, '.vector');
    bits_of := concat('query_bits_', left(one.fingerprint, 32));
    -- functions of the codec's own, where its registration could make them
    IF 2 = (
        SELECT count(*) FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
        WHERE n.nspname = 'bitryoshka' AND p.proowner = n.nspowner
            AND p.proname IN (bits_of, replace(bits_of, '_bits_', '_planes_'))
    ) THEN
        planes_of := concat('bitryoshka.', replace(bits_of, '_bits_', '_planes_'), '(', asked, ')');
        bits_of := concat('bitryoshka.', bits_of, '(', asked, ')');
        IF prefix < one.hamming_bits THEN
            bits_of := concat('pg_catalog.substring(', bits_of, ', 1, ', prefix, ')');
        END IF;
    ELSE
        planes_of := concat(
            'bitryoshka.query_planes(', quote_literal(one.label), ', ', asked, ')');
        bits_of := concat('bitryoshka.encode_query(', quote_literal(one.label), ', ', asked, ', ',
            prefix, ')');
    END IF;
    statement := concat(
        'WITH bitryoshka_query AS MATERIALIZED (', E'\n',
        '    SELECT ', bits_of, ' AS code,', E'\n',
        CASE WHEN by_codes THEN concat('        ', planes_of, ' AS planes,', E'\n') END,
        '        $2::pg_catalog.jsonb AS filter_values,', E'\n',
        '        pg_catalog.set_config(''hnsw.ef_search'', ''', least(candidates, 1000),
        ''', true),', E'\n',
        '        pg_catalog.set_config(''hnsw.iterative_scan'', ''relaxed_order'', true),', E'\n',
        '        pg_catalog.set_config(''hnsw.max_scan_tuples'', ''2147483647'', true),', E'\n',
        '        pg_catalog.set_config(''hnsw.scan_mem_multiplier'', ''1000'', true)', E'\n',
        '), bitryoshka_candidates AS MATERIALIZED (', E'\n',
        '    SELECT bitryoshka_row.tableoid AS part, bitryoshka_row.ctid AS place, ',
        -- where every candidate is compared by its vector, one look at its row is enough
        CASE
            WHEN by_codes THEN concat(code, ' AS code')
            WHEN by_vectors THEN concat(similarity, ' AS score')
            ELSE concat(E'\n', '        1 OPERATOR(pg_catalog.-) (2 OPERATOR(pg_catalog.*) (',
                distance, ') OPERATOR(pg_catalog./) ', prefix, ') AS score')
        END, E'\n',
        '    FROM ', title, ' AS bitryoshka_row', E'\n',
        '    WHERE ', code, ' IS NOT NULL', ' AND (' || filter || E'\n    )', E'\n',
        '    ORDER BY ', distance, E'\n',
        '    LIMIT ', candidates, E'\n', ')');
    IF by_codes THEN
        statement := concat(statement,
            ', bitryoshka_scored AS MATERIALIZED (', E'\n',
            '    SELECT c.part, c.place, bitryoshka.asymmetric_score(c.code, q.planes) AS score',
            E'\n', '    FROM bitryoshka_candidates AS c CROSS JOIN bitryoshka_query AS q', E'\n',
            '    ORDER BY score DESC, c.part, c.place', E'\n',
            '    LIMIT ', coalesce(shortlist, k), E'\n', ')');
        best := 'bitryoshka_scored';
    END IF;
    IF by_codes AND by_vectors THEN
        statement := concat(statement,
            ', bitryoshka_compared AS MATERIALIZED (', E'\n',
            '    SELECT s.part, s.place, ', similarity, ' AS score', E'\n',
            '    FROM bitryoshka_scored AS s JOIN ', title, ' AS bitryoshka_row ON ',
            'bitryoshka_row.ctid OPERATOR(pg_catalog.=) s.place AND ',
            'bitryoshka_row.tableoid OPERATOR(pg_catalog.=) s.part', E'\n', ')');
        best := 'bitryoshka_compared';
    END IF;
    RETURN concat(statement, E'\n',
        'SELECT bitryoshka_row AS item, b.score::double precision',
        -- the first plane is the code that answers the query best
        CASE WHEN best = 'bitryoshka_scored' THEN concat(' OPERATOR(pg_catalog./) (', E'\n',
            '        SELECT bitryoshka.asymmetric_score(planes[1], planes) FROM bitryoshka_query)')
        END, ' AS score', E'\n',
        'FROM (SELECT * FROM ', best, ' ORDER BY score DESC, part, place LIMIT ', k, ') AS b',
        E'\n', 'JOIN ', title, ' AS bitryoshka_row ON ',
        'bitryoshka_row.ctid OPERATOR(pg_catalog.=) b.place AND ',
        'bitryoshka_row.tableoid OPERATOR(pg_catalog.=) b.part', E'\n',
        'ORDER BY b.score DESC, b.part, b.place');
END
$$;
COMMENT ON FUNCTION bitryoshka.search_statement(
    regclass, text, integer, integer, integer, text, integer, text) IS
'The statement that bitryoshka.search runs, to be read, prepared, changed and owned: it is right as
it stands. $1 is the query, a vector, and $2 the values of the filter, jsonb or NULL. All but the
filter is named with its schema. It sets hnsw.ef_search and three more settings of pgvector until
the transaction ends, so that the scan goes on until it has found all candidates. Leave the types of
the parameters open when you prepare it, or declare vector and jsonb.';
