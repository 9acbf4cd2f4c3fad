CREATE FUNCTION bitryoshka.add_code_column(
    target regclass,
    vector_column name,
    codec text,
    code_column name DEFAULT 'code',
    bad_vectors text DEFAULT 'reject',
    prefix_bits integer DEFAULT NULL
) RETURNS integer
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
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
    SELECT y.typname, a.atttypmod INTO vector_type, dimensions
    FROM pg_attribute AS a JOIN pg_type AS y ON y.oid = a.atttypid
    WHERE a.attrelid = target AND a.attname = add_code_column.vector_column AND a.attnum > 0;
    IF vector_type IS NULL OR vector_type NOT IN ('vector', 'halfvec') THEN
        RAISE EXCEPTION USING
            ERRCODE = 'wrong_object_type',
            MESSAGE = concat('expected a column of type vector or halfvec, found ',
                quote_ident(vector_column), ' of ', target::text, ': ',
                coalesce(vector_type, 'no such column'));
    END IF;
    IF dimensions NOT IN (-1, one.dimensions) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'data_exception',
            MESSAGE = concat('codec ', codec, ' expects ', one.dimensions, ' dimensions, found ',
                dimensions, ' in column ', quote_ident(vector_column), ' of ', target::text);
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
            MESSAGE = concat(target::text, ' has tables that inherit from it'),
            HINT = 'Add the column to each of them.';
    END IF;
    INSERT INTO bitryoshka.columns (
        relation, vector_column, code_column, codec_id, bad_vectors, prefix_bits
    )
    VALUES (
        target, add_code_column.vector_column, add_code_column.code_column, one.id,
        add_code_column.bad_vectors, add_code_column.prefix_bits
    )
    RETURNING id INTO column_id;
    EXECUTE concat(
        'ALTER TABLE ', target::text, ' ADD COLUMN ', quote_ident(code_column),
        ' bit(', one.bits, ')');
    EXECUTE concat(
        'COMMENT ON COLUMN ', target::text, '.', quote_ident(code_column),
        ' IS ', quote_literal(concat('bitryoshka codec ', codec)));
    PERFORM bitryoshka.create_column_functions(column_id);
    -- triggers run in the order of their names: this one after those that change the vector
    EXECUTE concat(
        'CREATE TRIGGER zz_bitryoshka_', column_id, ' BEFORE INSERT OR UPDATE ON ', target::text,
        ' FOR EACH ROW EXECUTE FUNCTION bitryoshka.fill_column_', column_id, '()');
    RETURN column_id;
END
$$;
COMMENT ON FUNCTION bitryoshka.add_code_column(regclass, name, text, name, text, integer) IS
'Add a column of codes to a table, with the trigger that keeps it true on INSERT and UPDATE, and its
entry in the catalogue; gives the entry''s number. Rows that are there have no code yet:
fill_code_column writes them, or bitryoshka attach, which also builds the index. bad_vectors: reject refuses vectors
without a code, skip leaves their code NULL. prefix_bits: what searches compare first.';

CREATE FUNCTION bitryoshka.fill_code_column(target regclass, code_column name DEFAULT 'code')
RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    entry bitryoshka.columns;
    bits integer;
    filled bigint;
BEGIN
    SELECT c.* INTO entry FROM bitryoshka.columns AS c
    WHERE c.relation = target AND c.code_column = fill_code_column.code_column
        AND c.vector_column IS NOT NULL;
    IF entry.id IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'undefined_object',
            MESSAGE = concat('no codec with a trigger is attached to column ',
                quote_ident(code_column), ' of ', target::text),
            HINT = 'SELECT * FROM bitryoshka.code_columns lists the columns of codes.';
    END IF;
    SELECT k.bits INTO bits FROM bitryoshka.codecs AS k WHERE k.id = entry.codec_id;
    -- whatever is written, the trigger puts the code in its place
    EXECUTE concat(
        'UPDATE ', target::text, ' SET ', quote_ident(code_column), ' = 0::bit(', bits, ') WHERE ',
        quote_ident(code_column), ' IS NULL AND ', quote_ident(entry.vector_column),
        ' IS NOT NULL');
    GET DIAGNOSTICS filled = ROW_COUNT;
    UPDATE bitryoshka.columns AS c SET state = 'ready' WHERE c.id = entry.id;
    RETURN filled;
END
$$;
COMMENT ON FUNCTION bitryoshka.fill_code_column(regclass, name) IS
'Write the codes of all rows that have none yet, in one statement, and give their number. On a large
table that is in use, run bitryoshka attach instead: it commits small batches.';

CREATE FUNCTION bitryoshka.drop_code_column(target regclass, code_column name DEFAULT 'code')
RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    entry bitryoshka.columns;
BEGIN
    DELETE FROM bitryoshka.columns AS c
    WHERE c.relation = target AND c.code_column = drop_code_column.code_column
    RETURNING c.* INTO entry;
    IF entry.id IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'undefined_object',
            MESSAGE = concat('no codec is attached to column ', quote_ident(code_column),
                ' of ', target::text),
            HINT = 'SELECT * FROM bitryoshka.code_columns lists the columns of codes.';
    END IF;
    IF entry.vector_column IS NULL THEN
        RETURN;
    END IF;
    EXECUTE concat('DROP TRIGGER IF EXISTS zz_bitryoshka_', entry.id, ' ON ', target::text);
    EXECUTE concat('DROP FUNCTION IF EXISTS bitryoshka.fill_column_', entry.id, '()');
    EXECUTE concat('DROP FUNCTION IF EXISTS bitryoshka.encode_column_', entry.id);
    EXECUTE concat(
        'ALTER TABLE ', target::text, ' DROP COLUMN IF EXISTS ', quote_ident(code_column));
END
$$;
COMMENT ON FUNCTION bitryoshka.drop_code_column(regclass, name) IS
'Take a column of codes away with its trigger, its indexes and its entry in the catalogue. Of a
column that was adopted, the entry alone.';

CREATE FUNCTION bitryoshka.rename_code_column(target regclass, code_column name, new_name name)
RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    column_id integer;
BEGIN
    UPDATE bitryoshka.columns AS c SET code_column = new_name
    WHERE c.relation = target AND c.code_column = rename_code_column.code_column
        AND c.vector_column IS NOT NULL
    RETURNING c.id INTO column_id;
    IF column_id IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'undefined_object',
            MESSAGE = concat('no codec with a trigger is attached to column ',
                quote_ident(code_column), ' of ', target::text),
            HINT = 'SELECT * FROM bitryoshka.code_columns lists the columns of codes.';
    END IF;
    EXECUTE concat(
        'ALTER TABLE ', target::text, ' RENAME COLUMN ', quote_ident(code_column), ' TO ',
        quote_ident(new_name));
    PERFORM bitryoshka.create_column_functions(column_id);
END
$$;
COMMENT ON FUNCTION bitryoshka.rename_code_column(regclass, name, name) IS
'Give a column of codes another name, in its table, its trigger and the catalogue.';
