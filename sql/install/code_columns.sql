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

CREATE OR REPLACE FUNCTION bitryoshka.publications(target regclass) RETURNS text
LANGUAGE sql STABLE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT string_agg(DISTINCT quote_ident(p.pubname::text), ', ')
    FROM pg_publication_tables AS p
    JOIN pg_namespace AS n ON n.nspname = p.schemaname
    JOIN pg_class AS r ON r.relnamespace = n.oid AND r.relname = p.tablename
    WHERE (r.oid = target OR r.oid IN (
            SELECT t.relid FROM pg_partition_tree(target) AS t
            UNION ALL
            SELECT a.relid FROM pg_partition_ancestors(target) AS a
        ))
        -- of those that list their columns, which are new in PostgreSQL 15, a new one is none
        AND NOT EXISTS (
            SELECT FROM pg_publication_rel AS l JOIN pg_publication AS b ON b.oid = l.prpubid
            WHERE b.pubname = p.pubname AND l.prrelid = r.oid
                AND coalesce(to_jsonb(l)->'prattrs', 'null') <> 'null')
$$;
COMMENT ON FUNCTION bitryoshka.publications(regclass) IS
'The publications that a new column of a table would be in; NULL where there are none.';

CREATE OR REPLACE FUNCTION bitryoshka.complete_column(column_id integer, published boolean)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    entry bitryoshka.columns;
    one bitryoshka.codecs;
    title text;
    code text;
    kind text;
    publications text;
    orphan record;
    always boolean := false;
BEGIN
    SELECT c.* INTO entry FROM bitryoshka.columns AS c WHERE c.id = column_id;
    SELECT k.* INTO one FROM bitryoshka.codecs AS k WHERE k.id = entry.codec_id;
    title := bitryoshka.title(entry.relation);
    code := quote_ident(entry.code_column::text);
    SELECT format_type(a.atttypid, a.atttypmod) INTO kind FROM pg_attribute AS a
    WHERE a.attrelid = entry.relation AND a.attname = entry.code_column AND a.attnum > 0;
    IF kind <> concat('bit(', one.bits, ')') THEN
        RAISE EXCEPTION USING
            ERRCODE = 'wrong_object_type',
            MESSAGE = concat('expected column ', code, ' of ', title, ' to be bit(', one.bits,
                '), found ', kind);
    END IF;
    -- its own trigger, one that a restore has left without an entry, and those that a partition
    -- brought along
    FOR orphan IN
        SELECT t.tgname, t.tgrelid, t.tgenabled = 'A' AS always, p.oid AS fill
        FROM pg_trigger AS t JOIN pg_proc AS p ON p.oid = t.tgfoid
        WHERE t.tgparentid = 0 AND t.tgname::text ~ '^zz_bitryoshka_[0-9]+$'
            AND (
                t.tgrelid = entry.relation
                OR t.tgrelid IN (
                    SELECT x.relid FROM pg_partition_tree(entry.relation) AS x)
            )
            AND (
                t.tgrelid = entry.relation AND t.tgname = concat('zz_bitryoshka_', column_id)
                OR p.proname::text ~ '^bitryoshka_fill_[0-9]+_[0-9a-f]{8}$'
                AND strpos(p.prosrc, concat('NEW.', code, ' := ')) > 0
                AND NOT EXISTS (
                    SELECT FROM bitryoshka.columns AS c
                    WHERE c.relation = entry.relation AND t.tgrelid = entry.relation
                        AND t.tgname = concat('zz_bitryoshka_', c.id)))
    LOOP
        always := always OR orphan.always;
        EXECUTE concat('DROP TRIGGER ', quote_ident(orphan.tgname::text), ' ON ',
            bitryoshka.title(orphan.tgrelid));
        PERFORM bitryoshka.drop_functions(orphan.fill);
        DELETE FROM bitryoshka.columns AS c
        WHERE c.relation = orphan.tgrelid AND c.relation <> entry.relation
            AND c.code_column = entry.code_column;
    END LOOP;
    IF kind IS NULL THEN
        publications := bitryoshka.publications(entry.relation);
        IF publications IS NOT NULL AND NOT published THEN
            RAISE EXCEPTION USING
                ERRCODE = 'object_not_in_prerequisite_state',
                MESSAGE = concat(title, ' is published by ', publications,
                    ', whose subscribers stop at a column that they lack'),
                HINT = concat('On each subscriber first: ALTER TABLE ', title, ' ADD COLUMN ', code,
                    ' bit(', one.bits, '); then say published (bitryoshka attach --published). ',
                    'Or let the publication list its columns.');
        END IF;
        EXECUTE concat('ALTER TABLE ', title, ' ADD COLUMN ', code, ' bit(', one.bits, ')');
    END IF;
    EXECUTE concat(
        'COMMENT ON COLUMN ', title, '.', code, ' IS ',
        quote_literal(concat('bitryoshka codec ', one.label)));
    -- triggers run in the order of their names: this one after those that change the vector
    EXECUTE concat(
        'CREATE TRIGGER zz_bitryoshka_', column_id, ' BEFORE INSERT OR UPDATE ON ', title,
        ' FOR EACH ROW EXECUTE FUNCTION ', bitryoshka.make_column_functions(column_id));
    IF always THEN
        EXECUTE concat('ALTER TABLE ', title, ' ENABLE ALWAYS TRIGGER zz_bitryoshka_', column_id);
    END IF;
    UPDATE bitryoshka.columns AS c
    SET state = CASE WHEN kind IS NULL THEN 'filling' ELSE 'checking' END
    WHERE c.id = column_id;
END
$$;
COMMENT ON FUNCTION bitryoshka.complete_column(integer, boolean) IS
'Give the table of an entry the column where it lacks it, and a new trigger. Codes that are there
are still to be checked.';

CREATE OR REPLACE FUNCTION bitryoshka.add_code_column(
    target regclass,
    vector_column name,
    codec text,
    code_column name DEFAULT 'code',
    bad_vectors text DEFAULT 'reject',
    prefix_bits integer DEFAULT NULL,
    published boolean DEFAULT false
) RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    title text := bitryoshka.title(target);
    code text := quote_ident(code_column::text);
    one bitryoshka.codecs := bitryoshka.require_codec(codec);
    vector_type text;
    dimensions integer;
    attribute integer;
    column_id integer;
    held text;
BEGIN
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
    -- codes that came without their entry, from a dump or with LIKE, are known by their comment
    SELECT a.attnum INTO attribute FROM pg_attribute AS a
    WHERE a.attrelid = target AND a.attname = add_code_column.code_column AND a.attnum > 0;
    held := coalesce(col_description(target, attribute), 'no codes of ours');
    IF attribute IS NOT NULL
        AND held NOT IN (
            concat('bitryoshka codec ', codec),
            concat('bitryoshka codec sha256:', one.fingerprint))
    THEN
        RAISE EXCEPTION USING
            ERRCODE = 'duplicate_column',
            MESSAGE = concat(title, ' has a column ', code, ', which holds ', held),
            HINT = 'Choose another name, or drop it.';
    END IF;
    LOOP
        INSERT INTO bitryoshka.columns (
            relation, vector_column, code_column, codec_id, bad_vectors, prefix_bits, search_name
        )
        VALUES (
            target, add_code_column.vector_column, add_code_column.code_column, one.id,
            add_code_column.bad_vectors, add_code_column.prefix_bits, add_code_column.code_column
        )
        RETURNING id INTO column_id;
        -- a trigger of that number can be left from another database
        EXIT WHEN NOT EXISTS (
            SELECT FROM pg_trigger AS t
            WHERE t.tgrelid = target AND t.tgname = concat('zz_bitryoshka_', column_id));
        DELETE FROM bitryoshka.columns AS c WHERE c.id = column_id;
    END LOOP;
    PERFORM bitryoshka.complete_column(column_id, published);
    RETURN column_id;
END
$$;
COMMENT ON FUNCTION bitryoshka.add_code_column(
    regclass, name, text, name, text, integer, boolean) IS
'Give a table a column of codes, a trigger that keeps it true on INSERT and UPDATE, and its
entry in the catalogue; gives the entry''s number. Rows that are there have no code yet:
fill_code_column writes them, or bitryoshka attach, which also builds the index. A column of that
name that is known to hold codes of the codec is taken as it is: repair_code_column makes its codes
right. bad_vectors: reject refuses vectors without a code, skip leaves their code NULL. prefix_bits:
what searches compare first. published: subscribers have the column already. The functions of the
trigger lie in the table''s schema, where the caller must be allowed to create them.';

CREATE OR REPLACE FUNCTION bitryoshka.restore_column(
    column_id integer, vector_column name, code_column name, published boolean
) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE bitryoshka.columns AS c SET
        vector_column = restore_column.vector_column,
        code_column = restore_column.code_column,
        search_name = CASE c.search_name
            WHEN c.code_column THEN restore_column.code_column ELSE c.search_name END
    WHERE c.id = column_id;
    PERFORM bitryoshka.complete_column(column_id, published);
END
$$;
COMMENT ON FUNCTION bitryoshka.restore_column(integer, name, name, boolean) IS
'complete_column for an entry whose columns were renamed, or dropped, or whose trigger was.';

CREATE OR REPLACE FUNCTION bitryoshka.filled_column(target regclass, code_column name)
RETURNS bitryoshka.columns
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    entry bitryoshka.columns := bitryoshka.find_column(target, code_column);
BEGIN
    IF entry.vector_column IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'undefined_object',
            MESSAGE = concat('column ', quote_ident(entry.code_column::text), ' of ',
                bitryoshka.title(target),
                ' was adopted: it has no trigger, and codes are written by somebody else');
    END IF;
    RETURN entry;
END
$$;
COMMENT ON FUNCTION bitryoshka.filled_column(regclass, name) IS
'The entry of a code column that a trigger fills; an error where it has none.';

CREATE OR REPLACE FUNCTION bitryoshka.encoder_of(entry bitryoshka.columns) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    called text := (
        SELECT concat(quote_ident(n.nspname::text), '.', quote_ident(p.proname::text))
        FROM bitryoshka.column_functions(entry.id) AS f
        JOIN pg_proc AS p ON p.oid = f.encoder
        JOIN pg_namespace AS n ON n.oid = p.pronamespace);
BEGIN
    IF called IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'undefined_object',
            MESSAGE = concat('the trigger of column ', quote_ident(entry.code_column::text), ' of ',
                bitryoshka.title(entry.relation), ', or the function that it encodes by, is gone'),
            HINT = 'bitryoshka attach makes them again.';
    END IF;
    RETURN called;
END
$$;
COMMENT ON FUNCTION bitryoshka.encoder_of(bitryoshka.columns) IS
'The function that the trigger of a code column encodes by; an error where it is gone.';

CREATE OR REPLACE FUNCTION bitryoshka.fill_code_column(
    target regclass, code_column name DEFAULT 'code'
) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
-- where a policy hides rows it is an error, and no row is passed over
SET row_security = off
AS $$
DECLARE
    entry bitryoshka.columns := bitryoshka.filled_column(target, code_column);
    code text := quote_ident(entry.code_column::text);
    before text := coalesce(current_setting('bitryoshka.backfill', true), '');
    filled bigint;
BEGIN
    -- the trigger leaves codes as they are that the owner of the table writes
    PERFORM set_config('bitryoshka.backfill', 'on', true);
    EXECUTE concat(
        'WITH filled AS (UPDATE ', bitryoshka.title(target), ' AS bitryoshka_row SET ', code, ' = ',
        bitryoshka.code_of(entry.id, bitryoshka.encoder_of(entry), 'bitryoshka_row'),
        ' WHERE bitryoshka_row.', code, ' IS NULL AND bitryoshka_row.',
        quote_ident(entry.vector_column::text), ' IS NOT NULL RETURNING bitryoshka_row.', code,
        ') SELECT count(', code, ') FROM filled')
    INTO filled;
    PERFORM set_config('bitryoshka.backfill', before, true);
    UPDATE bitryoshka.columns AS c SET state = 'ready'
    WHERE c.id = entry.id AND c.state = 'filling';
    RETURN filled;
END
$$;
COMMENT ON FUNCTION bitryoshka.fill_code_column(regclass, name) IS
'Write the codes of all rows that have none yet, in one statement, and give their number. On a large
table that is in use, run bitryoshka attach instead: it commits small batches.';

CREATE OR REPLACE FUNCTION bitryoshka.repair_code_column(
    target regclass, code_column name DEFAULT 'code'
) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS $$
DECLARE
    entry bitryoshka.columns := bitryoshka.filled_column(target, code_column);
    code text := quote_ident(entry.code_column::text);
    expected text := bitryoshka.code_of(entry.id, bitryoshka.encoder_of(entry), 'bitryoshka_row');
    repaired bigint;
BEGIN
    EXECUTE concat(
        'UPDATE ', bitryoshka.title(target), ' AS bitryoshka_row SET ', code, ' = ', expected,
        ' WHERE bitryoshka_row.', code, ' IS DISTINCT FROM ', expected);
    GET DIAGNOSTICS repaired = ROW_COUNT;
    UPDATE bitryoshka.columns AS c SET state = 'ready' WHERE c.id = entry.id;
    RETURN repaired;
END
$$;
COMMENT ON FUNCTION bitryoshka.repair_code_column(regclass, name) IS
'Encode all rows, in one statement, and write the codes that are not those that the trigger makes;
gives their number, in which are codes that another program made and rounded otherwise. On a large
table that is in use, run bitryoshka repair instead: it commits small batches, and writes what is
wrong alone.';

CREATE OR REPLACE FUNCTION bitryoshka.drop_functions(fill oid) RETURNS void
LANGUAGE plpgsql STRICT
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    called text;
    other text;
BEGIN
    -- a trigger of another table's may call them
    IF EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgfoid = fill) THEN
        RETURN;
    END IF;
    SELECT p.oid::regprocedure::text, concat(quote_ident(n.nspname::text), '.',
        replace(p.proname::text, 'bitryoshka_fill_', 'bitryoshka_encode_'), '(',
        bitryoshka.pgvector(), '.vector)')
    INTO called, other
    FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
    WHERE p.oid = fill AND p.proname::text ~ '^bitryoshka_fill_[0-9]+_[0-9a-f]{8}$';
    PERFORM bitryoshka.drop_if_possible(called), bitryoshka.drop_if_possible(other);
END
$$;
COMMENT ON FUNCTION bitryoshka.drop_functions(oid) IS
'Drop the function of a code column''s trigger that is gone, and its encoder.';

CREATE OR REPLACE FUNCTION bitryoshka.drop_trigger(column_id integer) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    made record;
BEGIN
    SELECT f.fill, f.encoder INTO made FROM bitryoshka.column_functions(column_id) AS f;
    EXECUTE (
        SELECT concat('DROP TRIGGER IF EXISTS zz_bitryoshka_', column_id, ' ON ',
            bitryoshka.title(c.relation))
        FROM bitryoshka.columns AS c WHERE c.id = column_id);
    PERFORM bitryoshka.drop_functions(made.fill);
    -- of an earlier revision, unless it is the encoder of a codec of that name
    PERFORM
        bitryoshka.drop_if_possible(concat('bitryoshka.fill_column_', column_id, '()')),
        bitryoshka.drop_if_possible(concat(
            'bitryoshka.encode_column_', column_id, '(', bitryoshka.pgvector(), '.vector)'))
    WHERE made.fill IS NOT NULL
        AND NOT EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgfoid = made.fill)
        AND NOT EXISTS (
            SELECT FROM bitryoshka.codecs AS k WHERE k.name = 'column' AND k.version = column_id);
END
$$;
COMMENT ON FUNCTION bitryoshka.drop_trigger(integer) IS
'Drop the trigger of a code column, by the number of its entry, and its functions.';

CREATE OR REPLACE FUNCTION bitryoshka.release_column(column_id integer) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM bitryoshka.drop_trigger(column_id);
    UPDATE bitryoshka.columns AS c SET vector_column = NULL, state = 'ready'
    WHERE c.id = column_id;
END
$$;
COMMENT ON FUNCTION bitryoshka.release_column(integer) IS
'Keep the codes of a column whose vectors are gone: without a trigger, as one that was adopted.';

CREATE OR REPLACE FUNCTION bitryoshka.drop_column(column_id integer) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    entry bitryoshka.columns;
BEGIN
    SELECT c.* INTO entry FROM bitryoshka.columns AS c WHERE c.id = drop_column.column_id;
    IF entry.vector_column IS NOT NULL THEN
        PERFORM bitryoshka.drop_trigger(entry.id);
        EXECUTE concat('ALTER TABLE ', bitryoshka.title(entry.relation), ' DROP COLUMN IF EXISTS ',
            quote_ident(entry.code_column::text));
    END IF;
    DELETE FROM bitryoshka.columns AS c WHERE c.id = entry.id;
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
