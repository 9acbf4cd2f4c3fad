CREATE OR REPLACE FUNCTION bitryoshka.find_column(target regclass, code_column name)
RETURNS bitryoshka.columns
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found bitryoshka.columns[] := ARRAY(
        SELECT c FROM bitryoshka.columns AS c
        WHERE c.relation = target AND find_column.code_column IN (c.code_column, c.search_name));
    title text := bitryoshka.title(target);
BEGIN
    IF cardinality(found) = 0 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'undefined_object',
            MESSAGE = concat('no codec is attached to column ', quote_ident(code_column::text),
                ' of ', title),
            HINT = 'SELECT * FROM bitryoshka.code_columns lists the columns of codes.';
    END IF;
    IF cardinality(found) > 1 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'ambiguous_column',
            MESSAGE = concat(quote_ident(code_column::text), ' names two columns of ', title,
                ': itself, which searches call ',
                (SELECT quote_ident(f.search_name::text) FROM unnest(found) AS f
                 WHERE f.code_column = find_column.code_column),
                ', and what searches call so, ',
                (SELECT quote_ident(f.code_column::text) FROM unnest(found) AS f
                 WHERE f.search_name = find_column.code_column)),
            HINT = 'Say one of the other two names.';
    END IF;
    RETURN found[1];
END
$$;
COMMENT ON FUNCTION bitryoshka.find_column(regclass, name) IS
'The entry of a code column, by its own name or by what searches call it; an error where there is
none, and where these are two.';

CREATE OR REPLACE FUNCTION bitryoshka.own_column(target regclass, code_column name) RETURNS integer
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found integer := (
        SELECT c.id FROM bitryoshka.columns AS c
        WHERE c.relation = target AND c.code_column = own_column.code_column);
BEGIN
    IF found IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'undefined_object',
            MESSAGE = concat('no codec is attached to column ', quote_ident(code_column::text),
                ' of ', bitryoshka.title(target)),
            HINT = 'SELECT * FROM bitryoshka.code_columns lists the columns of codes.';
    END IF;
    RETURN found;
END
$$;
COMMENT ON FUNCTION bitryoshka.own_column(regclass, name) IS
'The number of a code column''s entry, by the column''s own name alone.';

CREATE OR REPLACE FUNCTION bitryoshka.add_code_column(
    target regclass,
    vector_column name,
    codec text,
    code_column name DEFAULT 'code',
    bad_vectors text DEFAULT 'reject',
    prefix_bits integer DEFAULT NULL
) RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    title text := bitryoshka.title(target);
    code text := quote_ident(code_column::text);
    one bitryoshka.codecs;
    vector_type text;
    dimensions integer;
    column_id integer;
BEGIN
    SELECT k.* INTO one FROM bitryoshka.codecs AS k WHERE k.label = codec;
    IF one.id IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'undefined_object',
            MESSAGE = concat('there is no codec ', quote_literal(codec)),
            HINT = 'SELECT label FROM bitryoshka.codecs lists them; a label is name@version.';
    END IF;
    SELECT v.kind, v.dimensions INTO vector_type, dimensions
    FROM bitryoshka.vector_type(target, vector_column) AS v;
    IF vector_type IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'wrong_object_type',
            MESSAGE = concat('expected a column of type vector or halfvec, found ',
                quote_ident(vector_column::text), ' of ', title, ': ',
                coalesce(
                    (SELECT format_type(a.atttypid, a.atttypmod) FROM pg_attribute AS a
                     WHERE a.attrelid = target AND a.attname = add_code_column.vector_column
                        AND a.attnum > 0),
                    'no such column'));
    END IF;
    IF dimensions NOT IN (-1, one.dimensions) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'data_exception',
            MESSAGE = concat('codec ', codec, ' expects ', one.dimensions, ' dimensions, found ',
                dimensions, ' in column ', quote_ident(vector_column::text), ' of ', title);
    END IF;
    IF NOT (prefix_bits = ANY (one.nested_bits) AND prefix_bits <= one.hamming_bits) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = concat('prefix_bits must be one of ', one.nested_bits::text, ' up to ',
                one.hamming_bits, ', found ', prefix_bits);
    END IF;
    IF EXISTS (
        SELECT FROM pg_inherits AS i JOIN pg_class AS r ON r.oid = i.inhparent
        WHERE i.inhparent = target AND r.relkind = 'r'
    ) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'wrong_object_type',
            MESSAGE = concat(title, ' has tables that inherit from it'),
            HINT = 'Add the column to each of them.';
    END IF;
    PERFORM bitryoshka.forget_dropped_tables();
    IF EXISTS (
        SELECT FROM bitryoshka.columns AS c
        WHERE c.relation = target AND c.search_name = add_code_column.code_column
    ) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'duplicate_column',
            MESSAGE = concat('searches of ', title, ' call another column ', code),
            HINT = 'Choose another name.';
    END IF;
    IF EXISTS (
        SELECT FROM pg_attribute AS a
        WHERE a.attrelid = target AND a.attname = add_code_column.vector_column
            AND a.attgenerated <> ''
    ) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'wrong_object_type',
            MESSAGE = concat('column ', quote_ident(vector_column::text), ' of ', title,
                ' is generated: triggers cannot see what it will hold'),
            HINT = 'Attach to the column that it is made of, or make codes by a generated column.';
    END IF;
    INSERT INTO bitryoshka.columns (
        relation, vector_column, code_column, codec_id, bad_vectors, prefix_bits, search_name
    )
    VALUES (
        target, add_code_column.vector_column, add_code_column.code_column, one.id,
        add_code_column.bad_vectors, add_code_column.prefix_bits, add_code_column.code_column
    )
    RETURNING id INTO column_id;
    EXECUTE concat('ALTER TABLE ', title, ' ADD COLUMN ', code, ' bit(', one.bits, ')');
    EXECUTE concat(
        'COMMENT ON COLUMN ', title, '.', code, ' IS ',
        quote_literal(concat('bitryoshka codec ', codec)));
    -- triggers run in the order of their names: this one after those that change the vector
    EXECUTE concat(
        'CREATE TRIGGER zz_bitryoshka_', column_id, ' BEFORE INSERT OR UPDATE ON ', title,
        ' FOR EACH ROW EXECUTE FUNCTION ', bitryoshka.make_column_functions(column_id));
    RETURN column_id;
END
$$;
COMMENT ON FUNCTION bitryoshka.add_code_column(regclass, name, text, name, text, integer) IS
'Give a table a column of codes, a trigger that keeps it true on INSERT and UPDATE, and its
entry in the catalogue; gives the entry''s number. Rows that are there have no code yet:
fill_code_column writes them, or bitryoshka attach, which also builds the index. bad_vectors: reject
refuses vectors without a code, skip leaves their code NULL. prefix_bits: what searches compare
first. The functions of the trigger lie in the table''s schema, where the caller must be allowed to
create them.';

CREATE OR REPLACE FUNCTION bitryoshka.fill_code_column(
    target regclass, code_column name DEFAULT 'code'
) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    entry bitryoshka.columns := bitryoshka.find_column(target, code_column);
    code text := quote_ident(entry.code_column::text);
    bits integer;
    filled bigint;
BEGIN
    IF entry.vector_column IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'undefined_object',
            MESSAGE = concat('column ', code, ' of ', bitryoshka.title(target),
                ' was adopted: it has no trigger, and codes are written by somebody else');
    END IF;
    SELECT k.bits INTO bits FROM bitryoshka.codecs AS k WHERE k.id = entry.codec_id;
    -- whatever is written, the trigger puts the code in its place
    EXECUTE concat(
        'UPDATE ', bitryoshka.title(target), ' SET ', code, ' = 0::bit(', bits, ') WHERE ', code,
        ' IS NULL AND ', quote_ident(entry.vector_column::text), ' IS NOT NULL');
    GET DIAGNOSTICS filled = ROW_COUNT;
    UPDATE bitryoshka.columns AS c SET state = 'ready' WHERE c.id = entry.id;
    RETURN filled;
END
$$;
COMMENT ON FUNCTION bitryoshka.fill_code_column(regclass, name) IS
'Write the codes of all rows that have none yet, in one statement, and give their number. On a large
table that is in use, run bitryoshka attach instead: it commits small batches.';

CREATE OR REPLACE FUNCTION bitryoshka.drop_column(column_id integer) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    entry bitryoshka.columns;
    title text;
    made record;
BEGIN
    SELECT c.* INTO entry FROM bitryoshka.columns AS c WHERE c.id = drop_column.column_id;
    title := bitryoshka.title(entry.relation);
    SELECT f.fill, f.encoder INTO made FROM bitryoshka.column_functions(entry.id) AS f;
    DELETE FROM bitryoshka.columns AS c WHERE c.id = entry.id;
    IF entry.vector_column IS NULL THEN
        RETURN;
    END IF;
    EXECUTE concat('DROP TRIGGER IF EXISTS zz_bitryoshka_', entry.id, ' ON ', title);
    EXECUTE concat(
        'ALTER TABLE ', title, ' DROP COLUMN IF EXISTS ', quote_ident(entry.code_column::text));
    -- a trigger of another table's may call them
    IF made.fill IS NOT NULL AND NOT EXISTS (
        SELECT FROM pg_trigger AS t WHERE t.tgfoid = made.fill
    ) THEN
        PERFORM bitryoshka.drop_if_possible(made.fill::regprocedure::text);
        PERFORM bitryoshka.drop_if_possible(made.encoder::regprocedure::text);
        -- of an earlier revision, unless it is the encoder of a codec of that name
        PERFORM bitryoshka.drop_if_possible(concat(
            'bitryoshka.encode_column_', entry.id, '(', bitryoshka.pgvector(), '.vector)'))
        WHERE NOT EXISTS (
            SELECT FROM bitryoshka.codecs AS k
            WHERE k.name = 'column' AND k.version = entry.id);
    END IF;
END
$$;
COMMENT ON FUNCTION bitryoshka.drop_column(integer) IS
'Take a column of codes away, by the number of its entry: its trigger, its indexes and the entry. Of a
column that was adopted, the entry alone.';

CREATE OR REPLACE FUNCTION bitryoshka.drop_code_column(
    target regclass, code_column name DEFAULT 'code'
) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM bitryoshka.drop_column((bitryoshka.find_column(target, code_column)).id);
END
$$;
COMMENT ON FUNCTION bitryoshka.drop_code_column(regclass, name) IS
'drop_column, by the name of the column or what searches call it.';

CREATE OR REPLACE FUNCTION bitryoshka.switch_code_column(
    target regclass, new name, code_column name DEFAULT 'code', kept name DEFAULT 'code_old'
) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    incoming bitryoshka.columns := bitryoshka.find_column(target, new);
    outgoing bitryoshka.columns;
BEGIN
    SELECT c.* INTO outgoing FROM bitryoshka.columns AS c
    WHERE c.relation = target AND c.search_name = switch_code_column.code_column;
    IF outgoing.id IS NULL OR outgoing.id = incoming.id THEN
        RAISE EXCEPTION USING
            ERRCODE = 'undefined_object',
            MESSAGE = concat('expected two code columns of ', bitryoshka.title(target),
                ' to be switched, found ', quote_ident(incoming.code_column::text), ' and ',
                CASE WHEN outgoing.id IS NULL
                    THEN concat('none that searches call ', quote_ident(code_column::text))
                    ELSE 'itself' END);
    END IF;
    IF EXISTS (
        SELECT FROM bitryoshka.columns AS c
        WHERE c.relation = target AND c.id <> outgoing.id
            AND (c.code_column = kept OR c.search_name = kept AND c.id <> incoming.id)
    ) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'unique_violation',
            MESSAGE = concat('another column of ', bitryoshka.title(target), ' is called ',
                quote_ident(kept::text)),
            HINT = 'Choose another name for the column that is kept.';
    END IF;
    -- one statement, so that every search finds either column, with its codec
    UPDATE bitryoshka.columns AS c
    SET search_name = CASE c.id
        WHEN incoming.id THEN switch_code_column.code_column ELSE kept END
    WHERE c.id IN (incoming.id, outgoing.id);
END
$$;
COMMENT ON FUNCTION bitryoshka.switch_code_column(regclass, name, name, name) IS
'Let searches that ask for code_column go to column new, and those that ask for kept to the one that
they went to before. Nothing is renamed or locked: a search that has begun ends on the old codes,
which stay true until drop_code_column.';
