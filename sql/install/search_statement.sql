CREATE FUNCTION bitryoshka.search_statement(
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
SET search_path FROM CURRENT
AS $$
DECLARE
    one bitryoshka.code_columns;
    codec bitryoshka.codecs;
    code text := concat('t.', quote_ident(code_column));
    beginning text;
    prefix integer;
    vectors text;
    operator text;
    similarity text;
    at_once boolean;
    best text := 'candidates';
    statement text;
BEGIN
    SELECT c.* INTO one FROM bitryoshka.code_columns AS c
    WHERE c.relation = search_statement.relation
        AND c.code_column = search_statement.code_column;
    IF one.id IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'undefined_object',
            MESSAGE = concat('no codec is attached to column ', quote_ident(code_column),
                ' of ', relation::text),
            HINT = 'SELECT * FROM bitryoshka.code_columns lists the columns of codes.';
    END IF;
    SELECT c.* INTO codec FROM bitryoshka.codecs AS c WHERE c.label = one.codec;
    prefix := coalesce(search_statement.prefix_bits, one.prefix_bits, codec.hamming_bits);
    IF NOT (prefix = ANY (codec.nested_bits) AND prefix <= codec.hamming_bits) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = concat('prefix_bits must be one of ', codec.nested_bits::text, ' up to ',
                codec.hamming_bits, ', found ', prefix);
    END IF;
    IF k < 1 OR candidates < k OR exact > candidates OR (exact <> 0 AND exact < k) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = concat('expected 1 <= k <= exact (or 0) <= candidates, found k = ', k,
                ', exact = ', exact, ', candidates = ', candidates);
    END IF;
    IF exact > 0 AND one.vector_column IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = concat(relation::text, ' has codes alone, found exact = ', exact);
    END IF;
    beginning := code;
    IF prefix < codec.bits THEN
        beginning := concat('substring(', code, ' FROM 1 FOR ', prefix, ')::bit(', prefix, ')');
    END IF;
    SELECT
        concat(quote_ident(n.nspname), '.', quote_ident(y.typname)),
        concat('OPERATOR(', quote_ident(n.nspname), '.',
            CASE codec.metric WHEN 'cosine' THEN '<=>' ELSE '<#>' END, ')')
    INTO vectors, operator
    FROM pg_attribute AS a
    JOIN pg_type AS y ON y.oid = a.atttypid
    JOIN pg_namespace AS n ON n.oid = y.typnamespace
    WHERE a.attrelid = relation AND a.attname = one.vector_column;
    IF exact > 0 THEN
        similarity := concat(
            '-(t.', quote_ident(one.vector_column), ' ', operator, ' $3::', vectors, ')');
    END IF;
    -- where every candidate is compared by its vector, one look at its row is enough
    at_once := exact = candidates AND NOT rescore;
    statement := concat(
        'WITH candidates AS MATERIALIZED (', E'\n',
        '    SELECT t.tableoid AS part, t.ctid AS place, ',
        CASE WHEN at_once THEN similarity ELSE concat(code, ' AS code,', E'\n',
            '        -(', beginning, ' <~> $1::bit(', prefix, '))') END,
        ' AS score', E'\n',
        '    FROM ', relation::text, ' AS t', E'\n',
        '    WHERE ', code, ' IS NOT NULL', ' AND (' || filter || E'\n    )', E'\n',
        '    ORDER BY ', beginning, ' <~> $1::bit(', prefix, ')', E'\n',
        '    LIMIT ', candidates, E'\n', ')');
    IF rescore THEN
        statement := concat(statement,
            ', scored AS MATERIALIZED (', E'\n',
            '    SELECT part, place, bitryoshka.asymmetric_score(code, $2) AS score', E'\n',
            '    FROM candidates', E'\n',
            '    ORDER BY score DESC, part, place', E'\n',
            '    LIMIT ', greatest(k, exact), E'\n', ')');
        best := 'scored';
    END IF;
    IF exact > 0 AND NOT at_once THEN
        statement := concat(statement,
            ', shortlist AS MATERIALIZED (', E'\n',
            '    SELECT part, place FROM ', best, E'\n',
            '    ORDER BY score DESC, part, place', E'\n',
            '    LIMIT ', exact, E'\n',
            '), compared AS MATERIALIZED (', E'\n',
            '    SELECT s.part, s.place, ', similarity, ' AS score', E'\n',
            '    FROM shortlist AS s JOIN ', relation::text,
            ' AS t ON t.ctid = s.place AND t.tableoid = s.part', E'\n', ')');
        best := 'compared';
    END IF;
    RETURN concat(statement, E'\n',
        'SELECT t AS item, b.score::double precision AS score', E'\n',
        'FROM (SELECT * FROM ', best, ' ORDER BY score DESC, part, place LIMIT ', k, ') AS b',
        E'\n', 'JOIN ', relation::text, ' AS t ON t.ctid = b.place AND t.tableoid = b.part', E'\n',
        'ORDER BY b.score DESC, b.part, b.place');
END
$$;
COMMENT ON FUNCTION bitryoshka.search_statement(
    regclass, text, integer, integer, integer, boolean, integer, text) IS
'The statement that bitryoshka.search runs, to be read, prepared, changed and owned. $1 is the
query''s bits (encode_query, cut to the prefix), $2 its planes (query_planes), $3 the query itself,
$4 the values of the filter. Run it with hnsw.ef_search at candidates or more, and with
hnsw.iterative_scan on where it has a filter.';
