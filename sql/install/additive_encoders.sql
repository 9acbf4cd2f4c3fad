CREATE FUNCTION bitryoshka.additive_encoder(one bitryoshka.codecs) RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path FROM CURRENT
AS $$
DECLARE
    body text := bitryoshka.additive_body();
BEGIN
    body := replace(body, '{projection}', '(
        SELECT
            unnest(bitryoshka.codec_weights({codec})),
            unnest(bitryoshka.codec_numbers({codec}, ''threshold''))
    )');
    body := replace(body, '{decoder}', '(
        SELECT
            unnest(bitryoshka.codec_rows({codec}, ''decoder'')),
            unnest(bitryoshka.codec_factors({codec}, ''row weight''))
    )');
    -- a variable, so that the plan holds it once, and its rows are found at once
    body := replace(body, '{gram}', '(SELECT unnest(gram))');
    body := replace(body, '{gram row}', 'gram[place]');
    RETURN replace(
        concat('
DECLARE
    scale double precision := ',
            CASE one.metric
                WHEN 'cosine' THEN '-1 / nullif(vector_norm(input), 0)' ELSE '-1'
            END, ';
BEGIN
    IF scale IS NULL OR vector_dims(input) <> ', one.dimensions, ' THEN
        PERFORM bitryoshka.find_codec(', quote_literal(one.label), ', input);
    END IF;
    DECLARE
        gram vector[] := bitryoshka.codec_rows({codec}, ''gram'');
    BEGIN', body, '    END;
END
'),
        '{codec}',
        one.id::text);
END
$$;
COMMENT ON FUNCTION bitryoshka.additive_encoder(bitryoshka.codecs) IS
'Body of a function that encodes by an additive codec, whose arrays are constants of its plan.';

CREATE OR REPLACE FUNCTION bitryoshka.create_column_functions(column_id integer) RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    one bitryoshka.codecs;
    pgvector text;
BEGIN
    PERFORM bitryoshka.progressive_create_column_functions(column_id);
    SELECT k.* INTO one
    FROM bitryoshka.columns AS c
    JOIN bitryoshka.codecs AS k ON k.id = c.codec_id
    JOIN bitryoshka.additive AS a ON a.codec_id = k.id
    WHERE c.id = column_id;
    IF one.id IS NULL THEN
        RETURN;
    END IF;
    SELECT quote_ident(n.nspname) INTO pgvector
    FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace
    WHERE e.extname = 'vector';
    -- the trigger function is the same for both kinds
    EXECUTE concat(
        'CREATE OR REPLACE FUNCTION bitryoshka.encode_column_', column_id,
        '(input ', pgvector, '.vector) RETURNS bit ',
        'LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE COST 100000 ',
        'SET search_path = pg_catalog, ', pgvector, ', pg_temp ',
        'SET plan_cache_mode = force_generic_plan AS ',
        quote_literal(bitryoshka.additive_encoder(one)));
END
$$;

CREATE OR REPLACE FUNCTION bitryoshka.create_encoder(codec text) RETURNS regprocedure
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET extra_float_digits = 1
AS $$
DECLARE
    one bitryoshka.codecs;
    called text;
    kind text;
    content text;
    name text;
    body text;
BEGIN
    SELECT k.* INTO one
    FROM bitryoshka.codecs AS k JOIN bitryoshka.additive AS a ON a.codec_id = k.id
    WHERE k.label = codec;
    IF one.id IS NULL THEN
        RETURN bitryoshka.progressive_create_encoder(codec);
    END IF;
    name := concat('bitryoshka.', quote_ident(concat('encode_', one.name, '_', one.version)));
    body := bitryoshka.additive_encoder(one);
    FOR called, kind IN
        SELECT concat('bitryoshka.', c.name, '(', one.id, c.kind, ')'), c.type
        FROM (VALUES
            ('codec_weights', '', 'vector[]'),
            ('codec_numbers', ', ''threshold''', 'double precision[]'),
            ('codec_flips', '', 'varbit'),
            ('codec_rows', ', ''decoder''', 'vector[]'),
            ('codec_rows', ', ''centre''', 'vector[]'),
            ('codec_rows', ', ''gram''', 'vector[]'),
            ('codec_rows', ', ''shift''', 'vector[]'),
            ('codec_rows', ', ''square''', 'vector[]'),
            ('codec_rows', ', ''unit''', 'vector[]'),
            ('codec_factors', ', ''length''', 'double precision[]'),
            ('codec_factors', ', ''weight''', 'double precision[]'),
            ('codec_factors', ', ''row weight''', 'double precision[]'),
            ('codec_factors', ', ''setting''', 'double precision[]')
        ) AS c (name, kind, type)
    LOOP
        EXECUTE concat('SELECT ', called, '::text') INTO STRICT content;
        body := replace(body, called, concat(quote_literal(content), '::', kind));
    END LOOP;
    EXECUTE concat(
        'CREATE OR REPLACE FUNCTION ', name, '(input vector) RETURNS bit ',
        'LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE COST 100000 ',
        'SET search_path FROM CURRENT AS ', quote_literal(body));
    EXECUTE concat(
        'COMMENT ON FUNCTION ', name, '(vector) IS ', quote_literal(concat(
            'encode(''', codec, ''', input) with the weights as constants, for generated columns ',
            'and expression indexes. Fingerprint ', one.fingerprint, '.')));
    RETURN concat(name, '(vector)')::regprocedure;
END
$$;
