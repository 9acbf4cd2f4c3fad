DO $begin$
DECLARE
    path pg_catalog.text := pg_catalog.current_setting('search_path');
    pgvector pg_catalog.text;
BEGIN
    PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    IF EXISTS (SELECT FROM pg_extension WHERE extname = 'bitryoshka') THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = 'schema bitryoshka belongs to the extension of that name',
            HINT = 'Use ALTER EXTENSION bitryoshka UPDATE.';
    END IF;
    SELECT coalesce(installed_version, default_version) INTO pgvector
    FROM pg_available_extensions WHERE name = 'vector';
    IF string_to_array(rtrim(substring(pgvector FROM '^[0-9.]+'), '.'), '.')::integer[] < '{0,8,4}'
    THEN
        RAISE EXCEPTION USING
            ERRCODE = 'feature_not_supported',
            MESSAGE = concat('pgvector 0.8.4 or newer is needed, found ', pgvector),
            HINT = 'Install a newer one on the server, then run ALTER EXTENSION vector UPDATE.';
    END IF;
    IF to_regnamespace('bitryoshka') IS NULL THEN
        -- whoever comes second waits here for the first
        BEGIN
            CREATE SCHEMA bitryoshka;
        EXCEPTION WHEN duplicate_schema OR unique_violation THEN
            NULL;
        END;
    END IF;
    PERFORM set_config('search_path', path, true);
END
$begin$
-- next statement
DO $pgvector$
BEGIN
    -- the first schema of the path could be anybody's
    IF pg_catalog.to_regnamespace('public') IS NOT NULL THEN
        CREATE EXTENSION IF NOT EXISTS vector SCHEMA public;
    ELSE
        CREATE EXTENSION IF NOT EXISTS vector;
    END IF;
EXCEPTION WHEN unique_violation OR duplicate_object THEN
    -- another session has made it meanwhile
    NULL;
END
$pgvector$
-- next statement
-- Whoever made the schema, or something in it, could have code of their own run by all who use it.
DO $check$
DECLARE
    owner pg_catalog.name;
    found pg_catalog.text;
BEGIN
    SELECT r.rolname INTO owner
    FROM pg_catalog.pg_namespace AS n
    JOIN pg_catalog.pg_roles AS r ON r.oid OPERATOR(pg_catalog.=) n.nspowner
    WHERE n.nspname OPERATOR(pg_catalog.=) 'bitryoshka'::pg_catalog.name;
    IF owner OPERATOR(pg_catalog.<>) current_user THEN
        RAISE EXCEPTION USING
            ERRCODE = 'insufficient_privilege',
            MESSAGE = pg_catalog.concat(
                'schema bitryoshka belongs to role '::pg_catalog.text, owner::pg_catalog.text,
                ', found role '::pg_catalog.text, current_user::pg_catalog.text),
            HINT = 'Do this as that role, by SET ROLE; or give it to yours by REASSIGN OWNED.';
    END IF;
    SELECT pg_catalog.string_agg(
        pg_catalog.concat(f.title, ' of '::pg_catalog.text, f.owner), ', '::pg_catalog.text)
    INTO found
    FROM (
-- What in schema bitryoshka does not belong to the schema's owner
SELECT o.title, r.rolname::pg_catalog.text AS owner, s.rolname::pg_catalog.text AS schema_owner
FROM pg_catalog.pg_namespace AS n
JOIN pg_catalog.pg_roles AS s ON s.oid OPERATOR(pg_catalog.=) n.nspowner
CROSS JOIN LATERAL (
    SELECT c.oid::pg_catalog.regclass::pg_catalog.text, c.relowner
    FROM pg_catalog.pg_class AS c WHERE c.relnamespace OPERATOR(pg_catalog.=) n.oid
    UNION ALL
    SELECT p.oid::pg_catalog.regprocedure::pg_catalog.text, p.proowner
    FROM pg_catalog.pg_proc AS p
    WHERE p.pronamespace OPERATOR(pg_catalog.=) n.oid
        -- of columns that were attached before their functions lay beside their tables
        AND p.proname::pg_catalog.text OPERATOR(pg_catalog.!~) '^(fill|encode)_column_[0-9]+$'
    UNION ALL
    SELECT p.oid::pg_catalog.regoperator::pg_catalog.text, p.oprowner
    FROM pg_catalog.pg_operator AS p WHERE p.oprnamespace OPERATOR(pg_catalog.=) n.oid
    UNION ALL
    SELECT t.oid::pg_catalog.regtype::pg_catalog.text, t.typowner
    FROM pg_catalog.pg_type AS t WHERE t.typnamespace OPERATOR(pg_catalog.=) n.oid
) AS o (title, owner)
JOIN pg_catalog.pg_roles AS r ON r.oid OPERATOR(pg_catalog.=) o.owner
WHERE n.nspname OPERATOR(pg_catalog.=) 'bitryoshka'::pg_catalog.name
    AND o.owner OPERATOR(pg_catalog.<>) n.nspowner
ORDER BY o.title
    ) AS f;
    IF found IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'insufficient_privilege',
            MESSAGE = pg_catalog.concat(
                'all in schema bitryoshka must belong to its owner, found '::pg_catalog.text,
                    found),
            HINT = 'Drop it, or ALTER ... OWNER TO.';
    END IF;
    FOR found IN
        SELECT CASE WHEN a.grantee OPERATOR(pg_catalog.=) 0::pg_catalog.oid THEN 'PUBLIC'
            ELSE a.grantee::pg_catalog.regrole::pg_catalog.text END
        FROM pg_catalog.pg_namespace AS n CROSS JOIN LATERAL pg_catalog.aclexplode(n.nspacl) AS a
        WHERE n.nspname OPERATOR(pg_catalog.=) 'bitryoshka'::pg_catalog.name
            AND a.privilege_type OPERATOR(pg_catalog.=) 'CREATE'::pg_catalog.text
            AND a.grantee OPERATOR(pg_catalog.<>) n.nspowner
    LOOP
        EXECUTE pg_catalog.concat('REVOKE CREATE ON SCHEMA bitryoshka FROM '::pg_catalog.text,
            found, ' CASCADE'::pg_catalog.text);
    END LOOP;
END
$check$
-- next statement
DO $version$
BEGIN
    BEGIN
        CREATE TABLE IF NOT EXISTS bitryoshka.schema_version (
            version_num pg_catalog.varchar(32) NOT NULL,
            CONSTRAINT schema_version_pkc PRIMARY KEY (version_num)
        );
    EXCEPTION WHEN duplicate_table OR unique_violation THEN
        NULL;
    END;
    -- one upgrade at a time
    LOCK TABLE bitryoshka.schema_version;
END
$version$
-- next statement
DO $step$
DECLARE
    path pg_catalog.text := pg_catalog.current_setting('search_path');
    pgvector pg_catalog.text;
BEGIN
    PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    SELECT quote_ident(n.nspname::text) INTO pgvector
    FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace
    WHERE e.extname = 'vector';
    -- functions name pgvector's schema: all are made again where it was moved
    IF NOT EXISTS (
        SELECT FROM bitryoshka.schema_version AS v
        JOIN pg_proc AS p ON p.pronamespace = 'bitryoshka'::regnamespace
            AND p.proname = 'find_codec'
            AND strpos(p.prosrc, concat(pgvector, '.vector_dims(')) > 0
        WHERE v.version_num >= '0004'
    ) THEN
        EXECUTE replace($script$
CREATE OR REPLACE FUNCTION bitryoshka.pgvector() RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT quote_ident(n.nspname)
    FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace
    WHERE e.extname = 'vector'
$$;
COMMENT ON FUNCTION bitryoshka.pgvector() IS 'The schema that pgvector is in, quoted.';
CREATE TABLE IF NOT EXISTS bitryoshka.codecs (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text COLLATE "C" NOT NULL,
    version integer NOT NULL,
    label text COLLATE "C" NOT NULL GENERATED ALWAYS AS (name || '@' || version::text) STORED,
    fingerprint text COLLATE "C" NOT NULL,
    metric text COLLATE "C" NOT NULL,
    dimensions integer NOT NULL,
    bits integer NOT NULL,
    hamming_bits integer NOT NULL,
    nested_bits integer[] NOT NULL,
    info json NOT NULL,
    registered_at timestamptz NOT NULL DEFAULT now(),
    registered_by name NOT NULL DEFAULT current_user,
    CONSTRAINT codecs_name_version UNIQUE (name, version),
    CONSTRAINT codecs_label UNIQUE (label),
    CONSTRAINT codecs_name_is_plain CHECK (name ~ '^[A-Za-z0-9][A-Za-z0-9_.-]{0,39}$'),
    CONSTRAINT codecs_version_is_positive CHECK (version > 0),
    CONSTRAINT codecs_fingerprint_is_sha256 CHECK (fingerprint ~ '^[0-9a-f]{64}$'),
    CONSTRAINT codecs_metric_is_known CHECK (metric IN ('cosine', 'inner_product'))
);
COMMENT ON TABLE bitryoshka.codecs IS
'Binarizers by name and version, never changed. Functions take the label, such as docs@1.';
COMMENT ON COLUMN bitryoshka.codecs.fingerprint IS
'sha256 over settings and arrays: codes compare only where fingerprints are equal.';
COMMENT ON COLUMN bitryoshka.codecs.dimensions IS 'Dimensions of the vectors that it encodes.';
COMMENT ON COLUMN bitryoshka.codecs.bits IS 'Length of the whole code.';
COMMENT ON COLUMN bitryoshka.codecs.hamming_bits IS
'How many leading bits are signs of projected dimensions: the part that Hamming distance compares.';
COMMENT ON COLUMN bitryoshka.codecs.nested_bits IS 'Lengths at which a code may be cut.';

CREATE TABLE IF NOT EXISTS bitryoshka.weights (
    codec_id integer NOT NULL REFERENCES bitryoshka.codecs ON DELETE CASCADE,
    role text COLLATE "C" NOT NULL,
    cut integer NOT NULL DEFAULT 0,
    dimension integer NOT NULL,
    weights {pgvector}.vector,
    threshold real,
    step real,
    planes integer,
    PRIMARY KEY (codec_id, role, cut, dimension),
    CONSTRAINT weights_role_is_known CHECK (role IN ('row', 'query bits', 'query weights'))
);
COMMENT ON TABLE bitryoshka.weights IS
'By role: for rows, and for the bits of queries, one row for each projected dimension
z = weights * vector - threshold; for the weights of queries, one for each bit of each length.
What a role lacks is as for rows.';
COMMENT ON COLUMN bitryoshka.weights.dimension IS
'Number of the projected dimension; for the weights of queries, position of the bit. From 0.';
COMMENT ON COLUMN bitryoshka.weights.cut IS
'Role query weights: the length in bits that they are for; otherwise 0.';
COMMENT ON COLUMN bitryoshka.weights.step IS 'Step of the quantizer: k = ceil(z / step) + ...';
COMMENT ON COLUMN bitryoshka.weights.planes IS 'How many bits of the code the dimension has.';

CREATE TABLE IF NOT EXISTS bitryoshka.code_bits (
    codec_id integer NOT NULL REFERENCES bitryoshka.codecs ON DELETE CASCADE,
    position integer NOT NULL,
    dimension integer NOT NULL,
    plane integer NOT NULL,
    mask integer NOT NULL,
    PRIMARY KEY (codec_id, position)
);
COMMENT ON TABLE bitryoshka.code_bits IS
'What each bit of a code is: plane 0 is the sign of its projected dimension, further planes are
further binary digits of the quantized value; mask is the digit as a number.';

CREATE TABLE IF NOT EXISTS bitryoshka.cuts (
    codec_id integer NOT NULL REFERENCES bitryoshka.codecs ON DELETE CASCADE,
    bits integer NOT NULL,
    levels {pgvector}.vector NOT NULL,
    PRIMARY KEY (codec_id, bits)
);
COMMENT ON TABLE bitryoshka.cuts IS
'The lengths at which a code may be cut, and the decoding weight of each bit at that length.';
CREATE TABLE IF NOT EXISTS bitryoshka.additive (
    codec_id integer PRIMARY KEY REFERENCES bitryoshka.codecs ON DELETE CASCADE,
    score_weight double precision NOT NULL,
    sweeps integer NOT NULL,
    flips bit varying NOT NULL
);
COMMENT ON TABLE bitryoshka.additive IS
'Codecs whose bits are searched for, so that a sum of signed rows of the decoder comes nearest to
the vector. They start as signs of the projected dimensions (weights, code_bits, cuts).';
COMMENT ON COLUMN bitryoshka.additive.score_weight IS
'How much more errors along the vector count than others.';
COMMENT ON COLUMN bitryoshka.additive.sweeps IS 'How often all bits are looked at, at most.';
COMMENT ON COLUMN bitryoshka.additive.flips IS
'One bit for each bit of the code, for each restart in turn: which bits it turns first.';

CREATE TABLE IF NOT EXISTS bitryoshka.additive_lengths (
    codec_id integer NOT NULL REFERENCES bitryoshka.additive ON DELETE CASCADE,
    bits integer NOT NULL,
    weight real NOT NULL,
    centre {pgvector}.vector NOT NULL,
    PRIMARY KEY (codec_id, bits)
);
COMMENT ON TABLE bitryoshka.additive_lengths IS
'The lengths at which the loss of an additive code is taken, what each counts, and what its sum of
rows begins with. The longest is the code that is searched for; a codec may keep its beginning.';

CREATE TABLE IF NOT EXISTS bitryoshka.decoder (
    codec_id integer NOT NULL REFERENCES bitryoshka.additive ON DELETE CASCADE,
    bits integer NOT NULL,
    position integer NOT NULL,
    weights {pgvector}.vector NOT NULL,
    PRIMARY KEY (codec_id, bits, position)
);
COMMENT ON TABLE bitryoshka.decoder IS
'By length and position in the code, from 0: the row that a bit adds, or takes away where it is 0.';

CREATE TABLE IF NOT EXISTS bitryoshka.gram (
    codec_id integer NOT NULL REFERENCES bitryoshka.additive ON DELETE CASCADE,
    position integer NOT NULL,
    products {pgvector}.vector NOT NULL,
    shift real NOT NULL,
    square real NOT NULL,
    PRIMARY KEY (codec_id, position)
);
COMMENT ON TABLE bitryoshka.gram IS
'What follows from the decoder: products of each of its rows with all of them, with the centre, and
with itself, summed over the lengths with their weights. Written by write_gram.';

CREATE OR REPLACE VIEW bitryoshka.codec_kinds AS
SELECT
    c.label AS codec,
    CASE WHEN a.codec_id IS NULL THEN 'progressive' ELSE 'additive' END AS kind,
    c.bits,
    (SELECT array_agg(l.bits ORDER BY l.bits) FROM bitryoshka.additive_lengths AS l
     WHERE l.codec_id = c.id) AS lengths,
    a.score_weight,
    a.sweeps
FROM bitryoshka.codecs AS c
LEFT JOIN bitryoshka.additive AS a ON a.codec_id = c.id;
COMMENT ON VIEW bitryoshka.codec_kinds IS
'Of each codec: progressive, its bits are digits of projected dimensions; or additive, they are
searched for, by the loss at these lengths.';

-- encoding reads every row of a codec: out-of-line storage would cost a look-up for each
DO $$
DECLARE
    one record;
BEGIN
    FOR one IN
        SELECT r.relname::text AS name, a.attname::text AS column
        FROM pg_attribute AS a JOIN pg_class AS r ON r.oid = a.attrelid
        WHERE r.relnamespace = 'bitryoshka'::regnamespace AND a.attstorage <> 'm' AND (
            r.relname IN ('weights', 'decoder') AND a.attname = 'weights'
            OR r.relname = 'gram' AND a.attname = 'products')
    LOOP
        EXECUTE concat(
            'ALTER TABLE bitryoshka.', one.name, ' ALTER COLUMN ', one.column,
            ' SET STORAGE MAIN');
    END LOOP;
END
$$;
CREATE TABLE IF NOT EXISTS bitryoshka.columns (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    relation regclass NOT NULL,
    vector_column name,
    code_column name NOT NULL,
    codec_id integer NOT NULL REFERENCES bitryoshka.codecs ON DELETE RESTRICT,
    bad_vectors text NOT NULL,
    prefix_bits integer,
    state text NOT NULL DEFAULT 'filling',
    attached_at timestamptz NOT NULL DEFAULT now(),
    verified_at timestamptz,
    verification json,
    search_name name NOT NULL,
    CONSTRAINT columns_once UNIQUE (relation, code_column),
    CONSTRAINT columns_search_name_once UNIQUE (relation, search_name) DEFERRABLE,
    CONSTRAINT columns_bad_vectors_is_known CHECK (bad_vectors IN ('reject', 'skip')),
    CONSTRAINT columns_state_is_known CHECK (state IN ('filling', 'ready'))
);
-- of earlier revisions
DO $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_attribute
        WHERE attrelid = 'bitryoshka.columns'::regclass AND attname = 'search_name'
    ) THEN
        ALTER TABLE bitryoshka.columns ADD COLUMN search_name name;
        UPDATE bitryoshka.columns SET search_name = code_column;
        ALTER TABLE bitryoshka.columns
            ALTER COLUMN search_name SET NOT NULL,
            ADD CONSTRAINT columns_search_name_once UNIQUE (relation, search_name) DEFERRABLE;
    END IF;
END
$$;
COMMENT ON TABLE bitryoshka.columns IS
'Columns of codes: of which table and vector column, by which codec, and how far they are filled.';
COMMENT ON COLUMN bitryoshka.columns.vector_column IS
'The column that is encoded; NULL where the table has codes alone, which somebody else writes.';
COMMENT ON COLUMN bitryoshka.columns.search_name IS
'What searches call the column, at first by its own name: switch_code_column gives it to another.';
COMMENT ON COLUMN bitryoshka.columns.bad_vectors IS
'What becomes of a row whose vector has no code: reject refuses it, skip leaves its code NULL.';
COMMENT ON COLUMN bitryoshka.columns.prefix_bits IS
'Length of the prefix that the HNSW index covers; NULL where there is no index.';

CREATE TABLE IF NOT EXISTS bitryoshka.backfill (
    column_id integer NOT NULL REFERENCES bitryoshka.columns ON DELETE CASCADE,
    relation regclass NOT NULL,
    last_key text[] NOT NULL,
    rows bigint NOT NULL,
    PRIMARY KEY (column_id, relation)
);
COMMENT ON TABLE bitryoshka.backfill IS
'How far the filling of a column has come in its table, or in each partition: up to which key.';

CREATE OR REPLACE VIEW bitryoshka.code_columns AS
SELECT
    c.relation,
    c.code_column,
    c.vector_column,
    k.label AS codec,
    k.fingerprint,
    c.prefix_bits,
    c.bad_vectors,
    c.state,
    c.attached_at,
    c.verified_at,
    c.id,
    c.search_name
FROM bitryoshka.columns AS c
JOIN bitryoshka.codecs AS k ON k.id = c.codec_id
JOIN pg_catalog.pg_class AS r ON r.oid = c.relation;
COMMENT ON VIEW bitryoshka.code_columns IS
'Which column holds codes of which codec: SELECT * FROM bitryoshka.code_columns.';
CREATE OR REPLACE FUNCTION bitryoshka.refuse_change() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION USING
        ERRCODE = 'object_not_in_prerequisite_state',
        MESSAGE = concat('a codec never changes: ', TG_OP, ' on bitryoshka.', TG_TABLE_NAME),
        HINT = 'Register a new version of it.';
END
$$;
COMMENT ON FUNCTION bitryoshka.refuse_change() IS
'Trigger of the codec tables: stored codes would lose their meaning with the weights.';

CREATE OR REPLACE FUNCTION bitryoshka.is_owner(role oid) RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pg_has_role(current_user, role, 'USAGE')
        OR pg_has_role(current_user, n.nspowner, 'USAGE')
    FROM pg_namespace AS n WHERE n.nspname = 'bitryoshka'
$$;
COMMENT ON FUNCTION bitryoshka.is_owner(oid) IS
'Whether the current role has the rights of a role, or of the owner of schema bitryoshka.';

CREATE OR REPLACE FUNCTION bitryoshka.refuse_addition() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    now_at bigint := pg_current_xact_id()::text::bigint;
    label text;
BEGIN
    -- a dump brings a codec's rows after the codec, by the owner of the schema
    IF bitryoshka.is_owner(0) THEN
        RETURN NULL;
    END IF;
    -- a codec that this very transaction registers is in progress; xmin lacks the epoch
    SELECT k.label INTO label
    FROM bitryoshka.codecs AS k
    CROSS JOIN LATERAL (SELECT (now_at >> 32 << 32) + k.xmin::text::bigint AS made_at) AS x
    WHERE k.id IN (SELECT a.codec_id FROM added AS a)
        AND pg_xact_status(
            (made_at - CASE WHEN made_at > now_at + (1::bigint << 31) THEN 1::bigint << 32 ELSE 0 END)
            ::text::xid8) IS DISTINCT FROM 'in progress'
    LIMIT 1;
    IF label IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = concat('a codec never changes: ', TG_OP, ' on bitryoshka.', TG_TABLE_NAME,
                ' of ', label),
            HINT = 'Register a new version of it.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION bitryoshka.refuse_addition() IS
'Trigger of the codec tables: rows belong to a codec that the same transaction registers.';

CREATE OR REPLACE FUNCTION bitryoshka.refuse_removal() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    label text := (
        SELECT k.label FROM bitryoshka.codecs AS k
        WHERE k.id IN (SELECT r.codec_id FROM removed AS r)
        LIMIT 1);
BEGIN
    -- a codec that is dropped takes its rows along
    IF label IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = concat('a codec never changes: ', TG_OP, ' on bitryoshka.', TG_TABLE_NAME,
                ' of ', label),
            HINT = 'SELECT bitryoshka.drop_codec(...) forgets the whole of it.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION bitryoshka.refuse_removal() IS
'Trigger of the codec tables: the rows of a codec go with it, never alone.';

CREATE OR REPLACE FUNCTION bitryoshka.refuse_foreign_codec() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    role oid := (SELECT r.oid FROM pg_roles AS r WHERE r.rolname = OLD.registered_by);
BEGIN
    IF NOT bitryoshka.is_owner(coalesce(role, 0::oid)) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'insufficient_privilege',
            MESSAGE = concat('codec ', OLD.label, ' was registered by ', OLD.registered_by,
                ', found role ', current_user);
    END IF;
    RETURN OLD;
END
$$;
COMMENT ON FUNCTION bitryoshka.refuse_foreign_codec() IS
'Trigger of codecs: one is dropped by who registered it, or by the owner of the schema.';

CREATE OR REPLACE FUNCTION bitryoshka.refuse_foreign_table() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    relations oid[] := CASE TG_OP
        WHEN 'INSERT' THEN ARRAY[NEW.relation::oid]
        WHEN 'DELETE' THEN ARRAY[OLD.relation::oid]
        ELSE ARRAY[OLD.relation::oid, NEW.relation::oid]
    END || CASE WHEN TG_OP <> 'DELETE' AND TG_TABLE_NAME = 'backfill' THEN ARRAY(
        SELECT c.relation::oid FROM bitryoshka.columns AS c
        WHERE c.id = (to_jsonb(NEW)->>'column_id')::integer) END;
    found text := (
        SELECT r.oid::regclass::text FROM pg_class AS r
        WHERE r.oid = ANY (relations) AND NOT bitryoshka.is_owner(r.relowner)
        LIMIT 1);
BEGIN
    -- no entry is made for a table that somebody will have one day
    IF TG_OP <> 'DELETE' AND NOT bitryoshka.is_owner(0) AND NOT EXISTS (
        SELECT FROM pg_class AS r WHERE r.oid = NEW.relation
    ) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'insufficient_privilege',
            MESSAGE = concat('there is no table with oid ', NEW.relation::oid);
    END IF;
    IF found IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'insufficient_privilege',
            MESSAGE = concat('the code columns of ', found, ' are for its owner to change, found ',
                'role ', current_user);
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END
$$;
COMMENT ON FUNCTION bitryoshka.refuse_foreign_table() IS
'Trigger of columns and backfill: a table''s entries change with the rights of its owner.';

DO $$
DECLARE
    guarded text;
BEGIN
    FOREACH guarded IN ARRAY ARRAY[
        'codecs', 'weights', 'code_bits', 'cuts', 'additive', 'additive_lengths', 'decoder', 'gram']
    LOOP
        EXECUTE concat(
            'CREATE OR REPLACE TRIGGER refuse_change BEFORE UPDATE OR TRUNCATE ON bitryoshka.',
            guarded, ' EXECUTE FUNCTION bitryoshka.refuse_change()');
        CONTINUE WHEN guarded = 'codecs';
        EXECUTE concat(
            'CREATE OR REPLACE TRIGGER refuse_addition AFTER INSERT ON bitryoshka.', guarded,
            ' REFERENCING NEW TABLE AS added EXECUTE FUNCTION bitryoshka.refuse_addition()');
        EXECUTE concat(
            'CREATE OR REPLACE TRIGGER refuse_removal AFTER DELETE ON bitryoshka.', guarded,
            ' REFERENCING OLD TABLE AS removed EXECUTE FUNCTION bitryoshka.refuse_removal()');
    END LOOP;
    FOREACH guarded IN ARRAY ARRAY['columns', 'backfill'] LOOP
        EXECUTE concat(
            'CREATE OR REPLACE TRIGGER refuse_foreign_table BEFORE INSERT OR UPDATE OR DELETE ',
            'ON bitryoshka.', guarded,
            ' FOR EACH ROW EXECUTE FUNCTION bitryoshka.refuse_foreign_table()');
    END LOOP;
END
$$;
CREATE OR REPLACE FUNCTION bitryoshka.sign_codec() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- a dump brings codecs that others registered, by the owner of the schema
    IF NOT bitryoshka.is_owner(0) THEN
        NEW.registered_by := current_user;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION bitryoshka.sign_codec() IS
'Trigger of codecs: one is registered under the name of the role that does it.';
CREATE OR REPLACE TRIGGER sign_codec BEFORE INSERT ON bitryoshka.codecs
FOR EACH ROW EXECUTE FUNCTION bitryoshka.sign_codec();
CREATE OR REPLACE TRIGGER refuse_foreign_codec BEFORE DELETE ON bitryoshka.codecs
FOR EACH ROW EXECUTE FUNCTION bitryoshka.refuse_foreign_codec();

-- keys tell what a table holds: they are for those who may read it
DO $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_policy WHERE polrelid = 'bitryoshka.backfill'::regclass
    ) THEN
        ALTER TABLE bitryoshka.backfill ENABLE ROW LEVEL SECURITY;
        CREATE POLICY readers_of_the_table ON bitryoshka.backfill
        USING (has_table_privilege(relation, 'SELECT')) WITH CHECK (true);
    END IF;
END
$$;
CREATE OR REPLACE FUNCTION bitryoshka.title(relation regclass) RETURNS text
LANGUAGE sql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT concat(quote_ident(n.nspname::text), '.', quote_ident(r.relname::text))
    FROM pg_class AS r JOIN pg_namespace AS n ON n.oid = r.relnamespace
    WHERE r.oid = relation
$$;
COMMENT ON FUNCTION bitryoshka.title(regclass) IS
'Schema and name of a table, quoted: the same table under every search_path.';

CREATE OR REPLACE FUNCTION bitryoshka.vector_type(
    relation regclass, vector_column name, OUT kind text, OUT dimensions integer
)
LANGUAGE sql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT y.typname::text, a.atttypmod
    FROM pg_attribute AS a
    JOIN pg_type AS y ON y.oid = a.atttypid
    JOIN pg_extension AS e ON e.extnamespace = y.typnamespace AND e.extname = 'vector'
    WHERE a.attrelid = relation AND a.attname = vector_column AND a.attnum > 0
        AND y.typname IN ('vector', 'halfvec')
$$;
COMMENT ON FUNCTION bitryoshka.vector_type(regclass, name) IS
'Type of a column, vector or halfvec, and its dimensions or -1; NULL where it is of no such type of
pgvector''s.';
CREATE OR REPLACE FUNCTION bitryoshka.find_codec(codec text, input {pgvector}.vector)
    RETURNS bitryoshka.codecs
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    one bitryoshka.codecs;
BEGIN
    SELECT * INTO one FROM bitryoshka.codecs WHERE label = codec;
    IF one.id IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'undefined_object',
            MESSAGE = concat('there is no codec ', quote_literal(codec)),
            HINT = 'SELECT label FROM bitryoshka.codecs lists them; a label is name@version.';
    END IF;
    IF {pgvector}.vector_dims(input) <> one.dimensions THEN
        RAISE EXCEPTION USING
            ERRCODE = 'data_exception',
            MESSAGE = concat('codec ', codec, ' expects ', one.dimensions,
                ' dimensions, found ', {pgvector}.vector_dims(input));
    END IF;
    IF one.metric = 'cosine' AND {pgvector}.vector_norm(input) = 0 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'data_exception',
            MESSAGE = concat('codec ', codec, ' compares by cosine: a zero vector has no code');
    END IF;
    RETURN one;
END
$$;
COMMENT ON FUNCTION bitryoshka.find_codec(text, {pgvector}.vector) IS
'The codec of a label, after checking that the vector fits it; an error says what does not.';
-- IMMUTABLE although they read tables: those refuse every change, and no id is given twice. So the
-- encoder of a column has its codec's arrays as constants of its plan, read once a session.
CREATE OR REPLACE FUNCTION bitryoshka.codec_weights(codec_id integer) RETURNS {pgvector}.vector[]
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found {pgvector}.vector[] := (
        SELECT array_agg(w.weights ORDER BY w.dimension) FROM bitryoshka.weights AS w
        WHERE w.codec_id = codec_weights.codec_id AND w.role = 'row' AND w.cut = 0);
BEGIN
    IF found IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'undefined_object',
            MESSAGE = concat('there is no codec with id ', codec_id);
    END IF;
    RETURN found;
END
$$;
COMMENT ON FUNCTION bitryoshka.codec_weights(integer) IS
'The weights of a codec''s projected dimensions, in their order.';

CREATE OR REPLACE FUNCTION bitryoshka.codec_numbers(codec_id integer, kind text)
    RETURNS double precision[]
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF kind IN ('threshold', 'step', 'half') THEN
        RETURN (
            SELECT array_agg(
                CASE kind
                    WHEN 'threshold' THEN w.threshold
                    WHEN 'step' THEN w.step
                    ELSE 1 << (w.planes - 1)
                END::double precision ORDER BY w.dimension)
            FROM bitryoshka.weights AS w
            WHERE w.codec_id = codec_numbers.codec_id AND w.role = 'row' AND w.cut = 0);
    END IF;
    RETURN (
        SELECT array_agg(
            CASE kind WHEN 'mask' THEN b.mask ELSE b.dimension + 1 END::double precision
            ORDER BY b.position)
        FROM bitryoshka.code_bits AS b
        JOIN bitryoshka.codecs AS c ON c.id = b.codec_id
        WHERE b.codec_id = codec_numbers.codec_id AND b.position >= c.hamming_bits);
END
$$;
COMMENT ON FUNCTION bitryoshka.codec_numbers(integer, text) IS
'Of each projected dimension of a codec: its threshold, its step, or half its number of steps
(kind threshold, step, half); of each precision bit: the place of its dimension from 1, or its
mask (kind place, mask).';
-- IMMUTABLE as codec_weights is, and for the same reason
CREATE OR REPLACE FUNCTION bitryoshka.codec_rows(codec_id integer, kind text)
    RETURNS {pgvector}.vector[]
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found {pgvector}.vector[];
BEGIN
    IF kind = 'decoder' THEN
        SELECT array_agg(d.weights ORDER BY d.bits, d.position) INTO found
        FROM bitryoshka.decoder AS d WHERE d.codec_id = codec_rows.codec_id;
    ELSIF kind = 'centre' THEN
        SELECT array_agg(l.centre ORDER BY l.bits) INTO found
        FROM bitryoshka.additive_lengths AS l WHERE l.codec_id = codec_rows.codec_id;
    ELSIF kind = 'gram' THEN
        SELECT array_agg(g.products ORDER BY g.position) INTO found
        FROM bitryoshka.gram AS g WHERE g.codec_id = codec_rows.codec_id;
    ELSIF kind = 'shift' THEN
        SELECT ARRAY[array_agg(g.shift ORDER BY g.position)::{pgvector}.vector] INTO found
        FROM bitryoshka.gram AS g WHERE g.codec_id = codec_rows.codec_id;
    ELSIF kind = 'square' THEN
        SELECT ARRAY[array_agg(g.square ORDER BY g.position)::{pgvector}.vector] INTO found
        FROM bitryoshka.gram AS g WHERE g.codec_id = codec_rows.codec_id;
    ELSIF kind = 'unit' THEN
        SELECT ARRAY[(
            array_fill(0::real, ARRAY[max(l.bits) - 1]) || 1::real
            || array_fill(0::real, ARRAY[max(l.bits) - 1]))::{pgvector}.vector] INTO found
        FROM bitryoshka.additive_lengths AS l WHERE l.codec_id = codec_rows.codec_id;
    END IF;
    IF found[1] IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'undefined_object',
            MESSAGE = concat('there is no additive codec with id ', codec_id, ', or no ', kind);
    END IF;
    RETURN found;
END
$$;
COMMENT ON FUNCTION bitryoshka.codec_rows(integer, text) IS
'Of an additive codec: the decoder''s rows, length after length; the centre of each length; the rows
of table gram; and in arrays of one, that table''s shift and square, and a 1 with bits - 1 zeros on
both sides (kind decoder, centre, gram, shift, square, unit).';

CREATE OR REPLACE FUNCTION bitryoshka.codec_factors(codec_id integer, kind text)
    RETURNS double precision[]
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found double precision[];
BEGIN
    IF kind = 'length' THEN
        SELECT array_agg(l.bits ORDER BY l.bits) INTO found
        FROM bitryoshka.additive_lengths AS l WHERE l.codec_id = codec_factors.codec_id;
    ELSIF kind = 'weight' THEN
        SELECT array_agg(l.weight ORDER BY l.bits) INTO found
        FROM bitryoshka.additive_lengths AS l WHERE l.codec_id = codec_factors.codec_id;
    ELSIF kind = 'row weight' THEN
        SELECT array_agg(l.weight ORDER BY l.bits) INTO found
        FROM bitryoshka.additive_lengths AS l, generate_series(1, l.bits)
        WHERE l.codec_id = codec_factors.codec_id;
    ELSIF kind = 'setting' THEN
        SELECT ARRAY[a.score_weight, a.sweeps, c.bits] INTO found
        FROM bitryoshka.additive AS a JOIN bitryoshka.codecs AS c ON c.id = a.codec_id
        WHERE a.codec_id = codec_factors.codec_id;
    END IF;
    RETURN found;
END
$$;
COMMENT ON FUNCTION bitryoshka.codec_factors(integer, text) IS
'Of an additive codec: the lengths of its loss, what each counts, the same for each row of the
decoder, or score_weight, sweeps and the bits that are kept (kind length, weight, row weight,
setting).';

CREATE OR REPLACE FUNCTION bitryoshka.codec_flips(codec_id integer) RETURNS varbit
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT a.flips FROM bitryoshka.additive AS a WHERE a.codec_id = codec_flips.codec_id);
END
$$;
COMMENT ON FUNCTION bitryoshka.codec_flips(integer) IS
'Of an additive codec: the bits that each restart turns, one restart after the other.';
-- The loss as a bit sees it is its row's product with the residual: against holds these products,
-- negated, and moves by a row of table gram where a bit turns. products are those of the decoder's
-- rows with the vector, and along those of the vector with the residual of each length, both times
-- the root of score_weight. The next bit to turn is found for all bits at once; where the next one
-- is not set yet (a sign of 0), it turns, one way or the other.
CREATE OR REPLACE FUNCTION bitryoshka.additive_body() RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $function$
SELECT $body$
DECLARE
    lengths integer[] := bitryoshka.codec_factors({codec}, 'length')::integer[];
    length_weights double precision[] := bitryoshka.codec_factors({codec}, 'weight');
    settings double precision[] := bitryoshka.codec_factors({codec}, 'setting');
    centres {pgvector}.vector[] := bitryoshka.codec_rows({codec}, 'centre');
    unit {pgvector}.vector := (bitryoshka.codec_rows({codec}, 'unit'))[1];
    reach {pgvector}.vector := (bitryoshka.codec_rows({codec}, 'square'))[1];
    zero {pgvector}.vector := reach OPERATOR({pgvector}.-) reach;
    flips varbit := bitryoshka.codec_flips({codec});
    parts integer := array_length(lengths, 1);
    bits integer := lengths[parts];
    root double precision := sqrt(settings[1]);
    scored integer := CASE WHEN root > 0 THEN parts ELSE 0 END;
    -- what is smaller counts as 0: products of vectors refuse to round to it
    tiny double precision := 1e-15;
    start real[];
    linears double precision[];
    products double precision[];
    first integer := 0;
    begins integer[] := '{}';
    linear {pgvector}.vector;
    added {pgvector}.vector;
    score {pgvector}.vector;
    scores {pgvector}.vector[] := '{}';
    along double precision[] := '{}';
    signs {pgvector}.vector;
    against {pgvector}.vector;
    negative varbit;
    unset varbit;
    turning varbit;
    place integer := 0;
    sweep integer := 1;
    restart integer := 0;
    gradient {pgvector}.vector;
    same {pgvector}.vector;
    wanted varbit;
    pull double precision;
    pulled double precision[] := '{}';
    pulls {pgvector}.vector[] := '{}';
    step integer;
    cleared integer;
    turn integer;
    moved {pgvector}.vector;
    changed {pgvector}.vector;
    loss double precision;
    best_loss double precision;
    best_signs {pgvector}.vector;
    best_against {pgvector}.vector;
    best_along double precision[];
    best_negative varbit;
BEGIN
    SELECT array_agg(CASE WHEN (w
        OPERATOR({pgvector}.<#>) input) * scale > t THEN 1 ELSE -1 END::real) INTO start
    FROM {projection} AS x (w, t);
    SELECT array_agg(z * weight), array_agg(CASE WHEN abs(y) < tiny THEN 0 ELSE y END)
    INTO linears, products
    FROM (
        SELECT z, weight, z * (root * sqrt(weight)) AS y
        FROM (
            SELECT (d OPERATOR({pgvector}.<#>) input) * scale AS z, weight
                FROM {decoder} AS x (d, weight) OFFSET 0
        ) AS x
        OFFSET 0
    ) AS x;
    signs := start::{pgvector}.vector;
    unset := repeat('0', cardinality(start))::varbit;
    IF cardinality(start) < bits THEN
        signs := signs
            OPERATOR({pgvector}.||) {pgvector}.subvector(zero, 1, bits - cardinality(start));
        unset := unset || repeat('1', bits - cardinality(start))::varbit;
    END IF;
    negative := {pgvector}.binary_quantize(zero OPERATOR({pgvector}.-) signs);
    linear := zero OPERATOR({pgvector}.-) (bitryoshka.codec_rows({codec}, 'shift'))[1];
    FOR part IN 1..parts LOOP
        added := {pgvector}.subvector(linears::{pgvector}.vector, first + 1, lengths[part]);
        score := {pgvector}.subvector(products::{pgvector}.vector, first + 1, lengths[part]);
        IF part < parts THEN
            added := added
                OPERATOR({pgvector}.||) {pgvector}.subvector(zero, 1, bits - lengths[part]);
            score := score
                OPERATOR({pgvector}.||) {pgvector}.subvector(zero, 1, bits - lengths[part]);
        END IF;
        linear := linear OPERATOR({pgvector}.+) added;
        scores := scores || score;
        reach := reach OPERATOR({pgvector}.+) (score OPERATOR({pgvector}.*) score);
        along := along || (
            (power({pgvector}.vector_norm(input) * scale, 2) - (centres[part]
                OPERATOR({pgvector}.<#>) input) * scale)
            * root * sqrt(length_weights[part]) + (signs OPERATOR({pgvector}.<#>) score));
        begins := begins || first;
        first := first + lengths[part];
    END LOOP;
    against := (SELECT array_agg(g OPERATOR({pgvector}.<#>) signs)
        FROM {gram} AS x (g))::{pgvector}.vector;
    against := zero OPERATOR({pgvector}.-) against OPERATOR({pgvector}.-) linear;
    LOOP
        IF place < bits AND get_bit(unset, place) = 1 THEN
            step := 1;
            pull := -(against
                OPERATOR({pgvector}.<#>) {pgvector}.subvector(unit, bits - place, bits));
            FOR part IN 1..scored LOOP
                IF place < lengths[part] THEN
                    pull := pull - along[part] * products[begins[part] + place + 1];
                END IF;
            END LOOP;
            cleared := CASE WHEN pull > 0 THEN 1 ELSE 0 END;
        ELSIF turning IS NOT NULL THEN
            step := position(B'1' IN substring(turning FROM place + 1));
            IF step > 0 THEN
                cleared := 1 - get_bit(negative, place + step - 1);
            END IF;
        ELSE
            gradient := against OPERATOR({pgvector}.-) (signs OPERATOR({pgvector}.*) reach);
            FOR part IN 1..scored LOOP
                IF along[part] IS DISTINCT FROM pulled[part] THEN
                    pulled[part] := along[part];
                    IF abs(along[part]) < tiny THEN
                        pulls[part] := zero;
                    ELSE
                        same := array_fill(along[part]::real, ARRAY[32])::{pgvector}.vector;
                        WHILE {pgvector}.vector_dims(same) < bits LOOP
                            same := same OPERATOR({pgvector}.||) same OPERATOR({pgvector}.||) same
                                OPERATOR({pgvector}.||) same;
                        END LOOP;
                        pulls[part] := scores[part]
                            OPERATOR({pgvector}.*) {pgvector}.subvector(same, 1, bits);
                    END IF;
                END IF;
                gradient := gradient OPERATOR({pgvector}.-) pulls[part];
            END LOOP;
            wanted := {pgvector}.binary_quantize(gradient);
            step := position(B'1' IN substring((wanted # negative) | unset FROM place + 1));
            IF step > 0 THEN
                cleared := get_bit(wanted, place + step - 1);
            END IF;
        END IF;
        IF step > 0 THEN
            place := place + step;
            moved := {gram row};
            changed := {pgvector}.subvector(unit, bits - place + 1, bits);
            turn := 1;
            IF get_bit(unset, place - 1) = 0 THEN
                moved := moved OPERATOR({pgvector}.+) moved;
                changed := changed OPERATOR({pgvector}.+) changed;
                turn := 2;
            END IF;
            IF cleared = 0 THEN
                against := against OPERATOR({pgvector}.+) moved;
                signs := signs OPERATOR({pgvector}.+) changed;
            ELSE
                against := against OPERATOR({pgvector}.-) moved;
                signs := signs OPERATOR({pgvector}.-) changed;
                turn := -turn;
            END IF;
            negative := set_bit(negative, place - 1, cleared);
            unset := set_bit(unset, place - 1, 0);
            FOR part IN 1..scored LOOP
                IF place <= lengths[part] THEN
                    along[part] := along[part] - turn * products[begins[part] + place];
                END IF;
            END LOOP;
        ELSIF turning IS NOT NULL THEN
            turning := NULL;
            place := 0;
            sweep := 1;
        ELSIF place > 0 AND sweep < settings[2] THEN
            place := 0;
            sweep := sweep + 1;
        ELSE
            EXIT WHEN length(flips) = 0;
            loss := (signs OPERATOR({pgvector}.<#>) (linear OPERATOR({pgvector}.-) against));
            FOR part IN 1..scored LOOP
                loss := loss + along[part] * along[part];
            END LOOP;
            IF restart = 0 OR loss < best_loss - 1e-6 THEN
                best_loss := loss;
                best_signs := signs;
                best_against := against;
                best_along := along;
                best_negative := negative;
            ELSE
                signs := best_signs;
                against := best_against;
                along := best_along;
                negative := best_negative;
            END IF;
            EXIT WHEN restart * bits = length(flips);
            turning := substring(flips FROM restart * bits + 1 FOR bits);
            restart := restart + 1;
            place := 0;
        END IF;
    END LOOP;
    RETURN substring(~ negative FROM 1 FOR settings[3]::integer);
END;
$body$
$function$;
COMMENT ON FUNCTION bitryoshka.additive_body() IS
'Text of the functions that encode by an additive codec, for a vector, input, and a number, scale,
-1 / its length: the same search in every one of them.';
CREATE OR REPLACE FUNCTION bitryoshka.progressive_encode(codec text, input {pgvector}.vector)
    RETURNS bit
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE COST 20000
SET search_path = pg_catalog, pg_temp
-- the weights come in order from their index, planned once: a sort would cost more than the product
SET enable_sort = off
SET enable_bitmapscan = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    found_id integer;
    wanted integer;
    signs integer;
    length integer;
    cosine boolean;
    scale double precision := -1;
    digits text;
    numbers integer[];
BEGIN
    SELECT c.id, c.dimensions, c.hamming_bits, c.bits, c.metric = 'cosine'
    INTO found_id, wanted, signs, length, cosine
    FROM bitryoshka.codecs AS c WHERE c.label = codec;
    IF cosine THEN
        scale := -1 / nullif({pgvector}.vector_norm(input), 0);
    END IF;
    IF found_id IS NULL OR wanted <> {pgvector}.vector_dims(input) OR scale IS NULL THEN
        PERFORM bitryoshka.find_codec(codec, input);
    END IF;
    IF length = signs THEN
        RETURN (
            SELECT string_agg(
                CASE WHEN (w.weights
                    OPERATOR({pgvector}.<#>) input) * scale > w.threshold THEN '1' ELSE '0' END, '')
            FROM (
                SELECT weights, threshold FROM bitryoshka.weights
                WHERE codec_id = found_id AND role = 'row' AND cut = 0
                ORDER BY dimension
            ) AS w
        )::varbit;
    END IF;
    -- OFFSET 0 keeps the product from being made once for the sign and once for the number
    SELECT
        string_agg(CASE WHEN w.z > 0 THEN '1' ELSE '0' END, ''),
        array_agg(
            (least(greatest(ceil(w.z / w.step), 1 - w.half), w.half) + w.half - 1)::integer)
    INTO digits, numbers
    FROM (
        SELECT
            (weights OPERATOR({pgvector}.<#>) input) * scale - threshold AS z,
            step,
            1 << (planes - 1) AS half
        FROM bitryoshka.weights
        WHERE codec_id = found_id AND role = 'row' AND cut = 0
        ORDER BY dimension
        OFFSET 0
    ) AS w;
    RETURN (
        SELECT digits || string_agg(
            CASE WHEN numbers[b.dimension + 1] & b.mask <> 0 THEN '1' ELSE '0' END, '')
        FROM (
            SELECT dimension, mask FROM bitryoshka.code_bits
            WHERE codec_id = found_id AND position >= signs
            ORDER BY position
        ) AS b
    )::varbit;
END
$$;
COMMENT ON FUNCTION bitryoshka.progressive_encode(text, {pgvector}.vector) IS
'What encode does for a progressive codec.';
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
CREATE OR REPLACE FUNCTION bitryoshka.encode(codec text, input {pgvector}.vector) RETURNS bit
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE COST 20000
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    one bitryoshka.codecs;
BEGIN
    IF NOT EXISTS (
        SELECT FROM bitryoshka.codecs AS c JOIN bitryoshka.additive AS a ON a.codec_id = c.id
        WHERE c.label = codec
    ) THEN
        RETURN bitryoshka.progressive_encode(codec, input);
    END IF;
    one := bitryoshka.find_codec(codec, input);
    RETURN bitryoshka.additive_encode(
        one.id,
        input,
        CASE one.metric WHEN 'cosine' THEN -1 / {pgvector}.vector_norm(input) ELSE -1 END);
END
$$;
COMMENT ON FUNCTION bitryoshka.encode(text, {pgvector}.vector) IS
'Code of a vector: encode(''docs@1'', embedding). NULL gives NULL; a vector of another dimension,
and a zero vector where the codec compares by cosine, is an error. The bits are those that
Binarizer.encode gives in Python, but for projected values within rounding of a threshold; by an
additive codec, for bits of which either choice is as good, within rounding.';

CREATE OR REPLACE FUNCTION bitryoshka.encode(codec text, input {pgvector}.halfvec) RETURNS bit
LANGUAGE sql STABLE STRICT PARALLEL SAFE COST 20000
RETURN bitryoshka.encode(codec, input::{pgvector}.vector);
COMMENT ON FUNCTION bitryoshka.encode(text, {pgvector}.halfvec) IS
'Code of a halfvec, as encode of a vector of the same numbers.';
CREATE OR REPLACE FUNCTION bitryoshka.encode_query(codec text, input {pgvector}.vector,
    bits integer DEFAULT NULL)
RETURNS bit
LANGUAGE plpgsql STABLE PARALLEL SAFE COST 20000
SET search_path = pg_catalog, pg_temp
SET enable_sort = off
SET enable_bitmapscan = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    one bitryoshka.codecs := bitryoshka.find_codec(codec, input);
    length integer := coalesce(bits, one.hamming_bits);
    scale double precision := -1;
    weights_role text;
    thresholds_role text;
    thresholds real[];
BEGIN
    IF codec IS NULL OR input IS NULL THEN
        RETURN NULL;
    END IF;
    IF NOT (length = ANY (one.nested_bits) AND length <= one.hamming_bits) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = concat('bits must be one of ', one.nested_bits::text, ' up to ',
                one.hamming_bits, ', found ', length);
    END IF;
    IF one.metric = 'cosine' THEN
        scale := -1 / {pgvector}.vector_norm(input);
    END IF;
    -- queries may have weights of their own, thresholds of their own, or both
    SELECT
        CASE WHEN w.weights IS NULL THEN 'row' ELSE 'query bits' END,
        CASE WHEN w.threshold IS NULL THEN 'row' ELSE 'query bits' END
    INTO weights_role, thresholds_role
    FROM (VALUES (true)) AS always
    LEFT JOIN bitryoshka.weights AS w
        ON w.codec_id = one.id AND w.role = 'query bits' AND w.cut = 0 AND w.dimension = 0;
    SELECT array_agg(w.threshold) INTO thresholds
    FROM (
        SELECT threshold FROM bitryoshka.weights
        WHERE codec_id = one.id AND role = thresholds_role AND cut = 0
        ORDER BY dimension
    ) AS w;
    RETURN (
        SELECT string_agg(
            CASE WHEN (w.weights
                OPERATOR({pgvector}.<#>) input) * scale > thresholds[w.dimension + 1]
                THEN '1' ELSE '0' END,
            '')
        FROM (
            SELECT weights, dimension FROM bitryoshka.weights
            WHERE codec_id = one.id AND role = weights_role AND cut = 0 AND dimension < length
            ORDER BY dimension
        ) AS w
    )::varbit;
END
$$;
COMMENT ON FUNCTION bitryoshka.encode_query(text, {pgvector}.vector, integer) IS
'The first bits of a query (by default the codec''s hamming_bits), to be compared by Hamming
distance with equally long beginnings of stored codes. They may differ from the bits of the same
vector as a row: queries have thresholds of their own.';
CREATE OR REPLACE FUNCTION bitryoshka.query_planes(codec text, input {pgvector}.vector,
    bits integer DEFAULT NULL)
RETURNS bit[]
LANGUAGE plpgsql STABLE PARALLEL SAFE COST 50000
SET search_path = pg_catalog, pg_temp
SET enable_sort = off
SET enable_bitmapscan = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    one bitryoshka.codecs := bitryoshka.find_codec(codec, input);
    length integer := coalesce(bits, one.bits);
    levels real[];
    projected double precision[];
    bit_weights double precision[];
    unit double precision;
    scale double precision := -1;
BEGIN
    IF codec IS NULL OR input IS NULL THEN
        RETURN NULL;
    END IF;
    IF NOT length = ANY (one.nested_bits) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = concat('bits must be one of ', one.nested_bits::text, ', found ', length);
    END IF;
    IF one.metric = 'cosine' THEN
        scale := -1 / {pgvector}.vector_norm(input);
    END IF;
    SELECT array_agg((w.weights OPERATOR({pgvector}.<#>) input) * scale) INTO bit_weights
    FROM (
        SELECT weights FROM bitryoshka.weights
        WHERE codec_id = one.id AND role = 'query weights' AND cut = length
        ORDER BY dimension
    ) AS w;
    -- a codec without weights for queries weighs each bit as its projected dimension and its level
    IF bit_weights IS NULL THEN
        SELECT l.levels::real[] INTO levels
        FROM bitryoshka.cuts AS l WHERE l.codec_id = one.id AND l.bits = length;
        SELECT array_agg((w.weights OPERATOR({pgvector}.<#>) input) * scale) INTO projected
        FROM (
            SELECT weights FROM bitryoshka.weights
            WHERE codec_id = one.id AND role = 'row' AND cut = 0
            ORDER BY dimension
        ) AS w;
        SELECT array_agg(projected[b.dimension + 1] * levels[b.position + 1]) INTO bit_weights
        FROM (
            SELECT dimension, position FROM bitryoshka.code_bits
            WHERE codec_id = one.id AND position < length
            ORDER BY position
        ) AS b;
    END IF;
    unit := (SELECT coalesce(nullif(max(abs(w)), 0) / 255, 1) FROM unnest(bit_weights) AS w);
    RETURN (
        SELECT ARRAY[
            string_agg(CASE WHEN l.level & 128 <> 0 THEN '1' ELSE '0' END, '')::varbit,
            string_agg(CASE WHEN l.level & 64 <> 0 THEN '1' ELSE '0' END, '')::varbit,
            string_agg(CASE WHEN l.level & 32 <> 0 THEN '1' ELSE '0' END, '')::varbit,
            string_agg(CASE WHEN l.level & 16 <> 0 THEN '1' ELSE '0' END, '')::varbit,
            string_agg(CASE WHEN l.level & 8 <> 0 THEN '1' ELSE '0' END, '')::varbit,
            string_agg(CASE WHEN l.level & 4 <> 0 THEN '1' ELSE '0' END, '')::varbit,
            string_agg(CASE WHEN l.level & 2 <> 0 THEN '1' ELSE '0' END, '')::varbit,
            string_agg(CASE WHEN l.level & 1 <> 0 THEN '1' ELSE '0' END, '')::varbit
        ]
        FROM (
            SELECT least(greatest(floor(w / (2 * unit) + 128), 0), 255)::integer AS level
            FROM unnest(bit_weights) AS w
            OFFSET 0
        ) AS l
    );
END
$$;
COMMENT ON FUNCTION bitryoshka.query_planes(text, {pgvector}.vector, integer) IS
'The weights that a query gives to each bit of a code, rounded to 8 bits and split into 8 bit
strings, the most significant first, for asymmetric_score. bits: one of the codec''s nested_bits,
to score codes that are cut there; by default the whole code.';
-- A body that is bound when it is made needs no search_path of its own, and so can be inlined.
CREATE OR REPLACE FUNCTION bitryoshka.asymmetric_score(code bit, planes bit[]) RETURNS integer
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (
    255 * bit_length(code) - 2 * (
        128 * (code OPERATOR({pgvector}.<~>) planes[1])
        + 64 * (code OPERATOR({pgvector}.<~>) planes[2])
        + 32 * (code OPERATOR({pgvector}.<~>) planes[3])
        + 16 * (code OPERATOR({pgvector}.<~>) planes[4])
        + 8 * (code OPERATOR({pgvector}.<~>) planes[5])
        + 4 * (code OPERATOR({pgvector}.<~>) planes[6])
        + 2 * (code OPERATOR({pgvector}.<~>) planes[7])
        + (code OPERATOR({pgvector}.<~>) planes[8])
    )
)::integer;
COMMENT ON FUNCTION bitryoshka.asymmetric_score(bit, bit[]) IS
'How well a stored code answers a query of query_planes: larger is better, up to a factor of the
query the inner product with the decoded row. No float column is needed. The code must be as long
as the planes; cut it with substring where they were made for fewer bits.';
CREATE OR REPLACE FUNCTION bitryoshka.begin_codec(
    name text,
    version integer,
    fingerprint text,
    metric text,
    dimensions integer,
    bits integer,
    hamming_bits integer,
    nested_bits integer[],
    info json
) RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    one bitryoshka.codecs;
BEGIN
    -- only who may write codecs may lock them so
    LOCK TABLE bitryoshka.codecs IN SHARE ROW EXCLUSIVE MODE;
    SELECT k.* INTO one FROM bitryoshka.codecs AS k
    WHERE k.name = begin_codec.name AND k.version = begin_codec.version;
    IF one.id IS NULL THEN
        INSERT INTO bitryoshka.codecs (
            name, version, fingerprint, metric, dimensions, bits, hamming_bits, nested_bits, info
        )
        VALUES (
            begin_codec.name, begin_codec.version, begin_codec.fingerprint, begin_codec.metric,
            begin_codec.dimensions, begin_codec.bits, begin_codec.hamming_bits,
            begin_codec.nested_bits, begin_codec.info
        )
        RETURNING * INTO one;
    END IF;
    IF one.fingerprint <> begin_codec.fingerprint THEN
        RAISE EXCEPTION USING
            ERRCODE = 'unique_violation',
            MESSAGE = concat('codec ', one.label, ' is another binarizer: expected fingerprint ',
                begin_codec.fingerprint, ', found ', one.fingerprint),
            HINT = 'Choose another version.';
    END IF;
    RETURN one.id;
END
$$;
COMMENT ON FUNCTION bitryoshka.begin_codec(
    text, integer, text, text, integer, integer, integer, integer[], json) IS
'The entry of a codec, whose weights the same transaction writes next; gives its id. Where the codec
is there already, nothing changes; another fingerprint under its name and version is an error.';
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
CREATE OR REPLACE FUNCTION bitryoshka.progressive_encoder(one bitryoshka.codecs) RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    product text := concat(
        '(w OPERATOR(', bitryoshka.pgvector(), '.<#>) input) * scale');
    body text;
BEGIN
    IF one.bits = one.hamming_bits THEN
        body := '
    RETURN (
        SELECT string_agg(CASE WHEN {product} > t THEN ''1'' ELSE ''0'' END, '''')
        FROM (
            SELECT
                unnest(bitryoshka.codec_weights({codec})) AS w,
                unnest(bitryoshka.codec_numbers({codec}, ''threshold'')) AS t
        ) AS x
    )::varbit;';
    ELSE
        body := '
    DECLARE
        digits text;
        numbers integer[];
    BEGIN
        SELECT
            string_agg(CASE WHEN z > 0 THEN ''1'' ELSE ''0'' END, ''''),
            array_agg((least(greatest(ceil(z / step), 1 - half), half) + half - 1)::integer)
        INTO digits, numbers
        FROM (
            SELECT {product} - t AS z, step, half
            FROM (
                SELECT
                    unnest(bitryoshka.codec_weights({codec})) AS w,
                    unnest(bitryoshka.codec_numbers({codec}, ''threshold'')) AS t,
                    unnest(bitryoshka.codec_numbers({codec}, ''step'')) AS step,
                    unnest(bitryoshka.codec_numbers({codec}, ''half'')) AS half
            ) AS x
            OFFSET 0
        ) AS y;
        RETURN (
            SELECT digits || string_agg(
                CASE WHEN numbers[d] & m <> 0 THEN ''1'' ELSE ''0'' END, '''')
            FROM (
                SELECT
                    unnest(bitryoshka.codec_numbers({codec}, ''place'')::integer[]) AS d,
                    unnest(bitryoshka.codec_numbers({codec}, ''mask'')::integer[]) AS m
            ) AS x
        )::varbit;
    END;';
    END IF;
    RETURN replace(body, '{product}', product);
END
$$;
COMMENT ON FUNCTION bitryoshka.progressive_encoder(bitryoshka.codecs) IS
'What column_encoder does for a progressive codec.';

CREATE OR REPLACE FUNCTION bitryoshka.additive_encoder(one bitryoshka.codecs) RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
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
    RETURN concat('
    DECLARE
        gram ', bitryoshka.pgvector(), '.vector[] := bitryoshka.codec_rows({codec}, ''gram'');
    BEGIN', body, '    END;');
END
$$;
COMMENT ON FUNCTION bitryoshka.additive_encoder(bitryoshka.codecs) IS
'What column_encoder does for an additive codec.';

CREATE OR REPLACE FUNCTION bitryoshka.column_encoder(one bitryoshka.codecs) RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN replace(
        concat('
DECLARE
    scale double precision := ',
            CASE one.metric
                WHEN 'cosine'
                THEN concat('-1 / nullif(', bitryoshka.pgvector(), '.vector_norm(input), 0)')
                ELSE '-1'
            END, ';
BEGIN
    IF scale IS NULL OR ', bitryoshka.pgvector(), '.vector_dims(input) <> ', one.dimensions, ' THEN
        PERFORM bitryoshka.find_codec(', quote_literal(one.label), ', input);
    END IF;',
            CASE WHEN EXISTS (SELECT FROM bitryoshka.additive AS a WHERE a.codec_id = one.id)
                THEN bitryoshka.additive_encoder(one)
                ELSE bitryoshka.progressive_encoder(one)
            END, '
END
'),
        '{codec}',
        one.id::text);
END
$$;
COMMENT ON FUNCTION bitryoshka.column_encoder(bitryoshka.codecs) IS
'Body of a function that encodes by a codec, whose arrays are constants of its plan.';

CREATE OR REPLACE FUNCTION bitryoshka.create_encoder(codec text) RETURNS regprocedure
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET extra_float_digits = 1
AS $$
DECLARE
    one bitryoshka.codecs;
    vectors text := concat(bitryoshka.pgvector(), '.vector');
    called text;
    kind text;
    content text;
    name text;
    body text;
BEGIN
    SELECT k.* INTO one FROM bitryoshka.codecs AS k WHERE k.label = codec;
    IF one.id IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'undefined_object',
            MESSAGE = concat('there is no codec ', quote_literal(codec)),
            HINT = 'SELECT label FROM bitryoshka.codecs lists them; a label is name@version.';
    END IF;
    name := concat('bitryoshka.', quote_ident(concat('encode_', one.name, '_', one.version)));
    IF EXISTS (
        SELECT FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
        WHERE n.nspname = 'bitryoshka' AND p.proname = concat('encode_', one.name, '_', one.version)
            AND p.proowner <> n.nspowner
    ) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'insufficient_privilege',
            MESSAGE = concat('there is a function ', name, ' of another role');
    END IF;
    body := bitryoshka.column_encoder(one);
    FOR called, kind IN
        SELECT concat('bitryoshka.', c.name, '(', one.id, c.kind, ')'), c.type
        FROM (VALUES
            ('codec_weights', '', concat(vectors, '[]')),
            ('codec_numbers', ', ''threshold''', 'double precision[]'),
            ('codec_numbers', ', ''step''', 'double precision[]'),
            ('codec_numbers', ', ''half''', 'double precision[]'),
            ('codec_numbers', ', ''place''', 'double precision[]'),
            ('codec_numbers', ', ''mask''', 'double precision[]'),
            ('codec_flips', '', 'varbit'),
            ('codec_rows', ', ''decoder''', concat(vectors, '[]')),
            ('codec_rows', ', ''centre''', concat(vectors, '[]')),
            ('codec_rows', ', ''gram''', concat(vectors, '[]')),
            ('codec_rows', ', ''shift''', concat(vectors, '[]')),
            ('codec_rows', ', ''square''', concat(vectors, '[]')),
            ('codec_rows', ', ''unit''', concat(vectors, '[]')),
            ('codec_factors', ', ''length''', 'double precision[]'),
            ('codec_factors', ', ''weight''', 'double precision[]'),
            ('codec_factors', ', ''row weight''', 'double precision[]'),
            ('codec_factors', ', ''setting''', 'double precision[]')
        ) AS c (name, kind, type)
    LOOP
        CONTINUE WHEN strpos(body, called) = 0;
        EXECUTE concat('SELECT ', called, '::text') INTO STRICT content;
        body := replace(body, called, concat(quote_literal(content), '::', kind));
    END LOOP;
    EXECUTE concat(
        'CREATE OR REPLACE FUNCTION ', name, '(input ', vectors, ') RETURNS bit ',
        'LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE COST 100000 ',
        'SET search_path = pg_catalog, pg_temp AS ', quote_literal(body));
    EXECUTE concat(
        'COMMENT ON FUNCTION ', name, '(', vectors, ') IS ', quote_literal(concat(
            'encode(''', codec, ''', input) with the weights as constants, for generated columns ',
            'and expression indexes. Fingerprint ', one.fingerprint, '.')));
    RETURN concat(name, '(', vectors, ')')::regprocedure;
END
$$;
COMMENT ON FUNCTION bitryoshka.create_encoder(text) IS
'Make the IMMUTABLE function encode_NAME_VERSION(vector), whose body holds the codec''s weights: for
generated columns and expression indexes, and faster in bulk than encode. Its first use in a
session reads all weights as text, which takes tens of milliseconds. Only the owner of schema
bitryoshka may.';
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
-- It has no search_path of its own: the filter is the caller's, and means what it means to the
-- caller. So all else is named with its schema.
-- Its settings are put back by hand: naming them in the function's head would need pgvector's
-- library loaded, or a superuser, wherever the function is created or restored.
CREATE OR REPLACE FUNCTION bitryoshka.search(
    items anyelement,
    query {pgvector}.vector,
    k integer DEFAULT 10,
    candidates integer DEFAULT 100,
    code_column text DEFAULT 'code',
    prefix_bits integer DEFAULT NULL,
    rescore boolean DEFAULT true,
    exact integer DEFAULT 0,
    filter text DEFAULT NULL,
    filter_values jsonb DEFAULT NULL
) RETURNS TABLE (item anyelement, score double precision)
LANGUAGE plpgsql STABLE PARALLEL UNSAFE ROWS 10
AS $$
DECLARE
    target pg_catalog.regclass := (
        SELECT t.typrelid FROM pg_catalog.pg_type AS t
        WHERE t.oid OPERATOR(pg_catalog.=) pg_catalog.pg_typeof(items)::pg_catalog.oid);
    codec pg_catalog.text;
    prefix integer;
    ef_search pg_catalog.text := pg_catalog.current_setting('hnsw.ef_search', true);
    iterative_scan pg_catalog.text := pg_catalog.current_setting('hnsw.iterative_scan', true);
    max_scan_tuples pg_catalog.text := pg_catalog.current_setting('hnsw.max_scan_tuples', true);
    scan_mem_multiplier pg_catalog.text :=
        pg_catalog.current_setting('hnsw.scan_mem_multiplier', true);
BEGIN
    IF coalesce(target::pg_catalog.oid, 0::pg_catalog.oid) OPERATOR(pg_catalog.=) 0::pg_catalog.oid
    THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = pg_catalog.concat(
                'expected NULL of the type of a table''s rows, such as NULL::public.docs, found ',
                pg_catalog.pg_typeof(items));
    END IF;
    SELECT c.codec, coalesce(search.prefix_bits, c.prefix_bits) INTO codec, prefix
    FROM bitryoshka.code_columns AS c
    WHERE c.relation::pg_catalog.oid OPERATOR(pg_catalog.=) target::pg_catalog.oid
        AND c.search_name::pg_catalog.text OPERATOR(pg_catalog.=) search.code_column;
    IF query IS NULL THEN
        RETURN;
    END IF;
    PERFORM
        pg_catalog.set_config(
            'hnsw.ef_search', least(candidates, 1000)::pg_catalog.text, true),
        pg_catalog.set_config('hnsw.iterative_scan', 'relaxed_order', true),
        pg_catalog.set_config('hnsw.max_scan_tuples', '2147483647', true),
        pg_catalog.set_config('hnsw.scan_mem_multiplier', '1000', true);
    RETURN QUERY EXECUTE bitryoshka.search_statement(
        target, code_column, k, candidates, search.prefix_bits, rescore, exact, filter)
    USING
        bitryoshka.encode_query(codec, query, prefix),
        CASE WHEN rescore THEN bitryoshka.query_planes(codec, query) END,
        query,
        filter_values;
    PERFORM
        pg_catalog.set_config('hnsw.ef_search', ef_search, true),
        pg_catalog.set_config('hnsw.iterative_scan', iterative_scan, true),
        pg_catalog.set_config('hnsw.max_scan_tuples', max_scan_tuples, true),
        pg_catalog.set_config('hnsw.scan_mem_multiplier', scan_mem_multiplier, true);
END
$$;
COMMENT ON FUNCTION bitryoshka.search(
    anyelement, {pgvector}.vector, integer, integer, text, integer, boolean, integer, text, jsonb
) IS
'The k best rows for a query, best first:
SELECT (s.item).id, s.score FROM bitryoshka.search(NULL::docs, query_vector, k => 10) AS s.
The candidates nearest by Hamming distance on the prefix are ranked by the float query against
their whole codes (rescore), and the best of those, exact of them, by their stored vectors.
filter is SQL of your own over the table''s columns, under your own search_path; give it values as
$4, filter_values, and never paste a user''s input into it:
filter => ''tenant = ($4->>''''tenant'''')::int''.';
CREATE OR REPLACE FUNCTION bitryoshka.column_functions(column_id integer)
RETURNS TABLE (fill oid, encoder oid)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    -- by the trigger: a name could be somebody else's
    SELECT t.tgfoid, e.oid
    FROM bitryoshka.columns AS c
    JOIN pg_trigger AS t
        ON t.tgrelid = c.relation AND t.tgname = concat('zz_bitryoshka_', c.id)
    JOIN pg_proc AS f ON f.oid = t.tgfoid
    LEFT JOIN pg_proc AS e
        ON e.pronamespace = f.pronamespace
        AND e.proname = replace(f.proname::text, 'fill_', 'encode_')
        AND e.prokind = 'f' AND e.prorettype = 'bit'::regtype AND e.pronargs = 1
        AND e.proargtypes[0] = concat(bitryoshka.pgvector(), '.vector')::regtype
    WHERE c.id = column_functions.column_id AND (
        f.proname::text ~ concat('^bitryoshka_fill_', c.id, '_[0-9a-f]{8}$')
        OR f.pronamespace = 'bitryoshka'::regnamespace AND f.proname = concat('fill_column_', c.id))
$$;
COMMENT ON FUNCTION bitryoshka.column_functions(integer) IS
'The functions of a code column: its trigger''s, and the encoder that this calls.';

CREATE OR REPLACE FUNCTION bitryoshka.fill_body(column_id integer, encoder text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    entry bitryoshka.columns;
    one bitryoshka.codecs;
    pgvector text := bitryoshka.pgvector();
    dimensions integer;
    code text;
    vector_column text;
    input text;
    has_code text := 'true';
BEGIN
    SELECT c.* INTO entry FROM bitryoshka.columns AS c WHERE c.id = column_id;
    SELECT k.* INTO one FROM bitryoshka.codecs AS k WHERE k.id = entry.codec_id;
    SELECT v.dimensions INTO dimensions
    FROM bitryoshka.vector_type(entry.relation, entry.vector_column) AS v;
    code := quote_ident(entry.code_column::text);
    vector_column := quote_ident(entry.vector_column::text);
    -- cast whatever its type is now: it may become the other one
    input := concat('(NEW.', vector_column, '::', pgvector, '.vector)');
    IF entry.bad_vectors = 'skip' THEN
        has_code := concat_ws(' AND ',
            CASE WHEN dimensions = -1
                THEN concat(pgvector, '.vector_dims(', input, ') = ', one.dimensions) END,
            CASE WHEN one.metric = 'cosine'
                THEN concat(pgvector, '.vector_norm(', input, ') > 0') END);
        has_code := coalesce(nullif(has_code, ''), 'true');
    END IF;
    -- what is compared stands here and not in the trigger's WHEN: a dump could not restore an
    -- operator of pgvector there
    RETURN concat('
BEGIN
    IF TG_OP = ''UPDATE'' THEN
        IF coalesce(
            OLD.', vector_column, ' OPERATOR(', pgvector, '.=) NEW.', vector_column, ',
            OLD.', vector_column, ' IS NULL AND NEW.', vector_column, ' IS NULL
        ) AND (
            OLD.', code, ' IS NOT DISTINCT FROM NEW.', code, '
            -- the backfill, by the owner of the table, writes codes that it has made already
            OR current_setting(''bitryoshka.backfill'', true) = ''on'' AND pg_has_role(
                current_user, (SELECT relowner FROM pg_class WHERE oid = TG_RELID), ''USAGE'')
        ) THEN
            RETURN NEW;
        END IF;
    END IF;
    NEW.', code, ' := CASE WHEN ', has_code, ' THEN ', encoder, '(', input, ') END;
    RETURN NEW;
END
');
END
$$;
COMMENT ON FUNCTION bitryoshka.fill_body(integer, text) IS
'Body of the trigger function of a code column, which encodes by the function that is named.';

CREATE OR REPLACE FUNCTION bitryoshka.make_encoder(column_id integer, encoder text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    one bitryoshka.codecs;
BEGIN
    SELECT k.* INTO one
    FROM bitryoshka.columns AS c JOIN bitryoshka.codecs AS k ON k.id = c.codec_id
    WHERE c.id = column_id;
    EXECUTE concat(
        'CREATE OR REPLACE FUNCTION ', encoder, '(input ', bitryoshka.pgvector(),
        '.vector) RETURNS bit LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE COST 100000 ',
        'SET search_path = pg_catalog, pg_temp ',
        'SET plan_cache_mode = force_generic_plan AS ',
        quote_literal(bitryoshka.column_encoder(one)));
END
$$;
COMMENT ON FUNCTION bitryoshka.make_encoder(integer, text) IS
'Make, or make again, the encoder of a code column under a name.';

CREATE OR REPLACE FUNCTION bitryoshka.make_column_functions(column_id integer) RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    suffix text := concat(column_id, '_', left(replace(gen_random_uuid()::text, '-', ''), 8));
    home text;
    owner text;
    called text;
BEGIN
    SELECT quote_ident(n.nspname::text), r.relowner::regrole::text INTO home, owner
    FROM bitryoshka.columns AS c
    JOIN pg_class AS r ON r.oid = c.relation
    JOIN pg_namespace AS n ON n.oid = r.relnamespace
    WHERE c.id = column_id;
    PERFORM bitryoshka.make_encoder(column_id, concat(home, '.bitryoshka_encode_', suffix));
    EXECUTE concat(
        'CREATE FUNCTION ', home, '.bitryoshka_fill_', suffix, '() RETURNS trigger ',
        'LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS ',
        quote_literal(bitryoshka.fill_body(
            column_id, concat(home, '.bitryoshka_encode_', suffix))));
    FOREACH called IN ARRAY ARRAY[
        concat(home, '.bitryoshka_fill_', suffix, '()'),
        concat(home, '.bitryoshka_encode_', suffix, '(', bitryoshka.pgvector(), '.vector)')]
    LOOP
        EXECUTE concat(
            'COMMENT ON FUNCTION ', called, ' IS ', quote_literal((
                SELECT concat('Codes of ', k.label, ' for a column of ',
                    bitryoshka.title(c.relation), '.')
                FROM bitryoshka.columns AS c JOIN bitryoshka.codecs AS k ON k.id = c.codec_id
                WHERE c.id = column_id)));
        -- what runs with the rights of whoever writes is the table owner's to change, and nobody
        -- else's
        EXECUTE concat('ALTER FUNCTION ', called, ' OWNER TO ', owner);
    END LOOP;
    -- nobody else's trigger calls it
    EXECUTE concat(
        'REVOKE EXECUTE ON FUNCTION ', home, '.bitryoshka_fill_', suffix, '() FROM PUBLIC');
    RETURN concat(home, '.bitryoshka_fill_', suffix, '()');
END
$$;
COMMENT ON FUNCTION bitryoshka.make_column_functions(integer) IS
'Make the encoder and the trigger function of a code column, in the schema of its table and the
table owner''s, under names that nobody can have taken before. Gives the trigger function.';

CREATE OR REPLACE FUNCTION bitryoshka.renew_column(column_id integer) RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    entry bitryoshka.columns;
    made record;
    home text;
    owner oid;
    suffix text := concat(column_id, '_', left(replace(gen_random_uuid()::text, '-', ''), 8));
    fill text;
    encoder text;
BEGIN
    SELECT c.* INTO entry FROM bitryoshka.columns AS c WHERE c.id = column_id;
    SELECT f.fill, f.encoder, p.proowner, p.proname::text AS name, n.nspname::text AS schema
    INTO made
    FROM bitryoshka.column_functions(column_id) AS f
    JOIN pg_proc AS p ON p.oid = f.fill
    JOIN pg_namespace AS n ON n.oid = p.pronamespace;
    SELECT quote_ident(n.nspname::text), r.relowner INTO home, owner
    FROM pg_class AS r JOIN pg_namespace AS n ON n.oid = r.relnamespace
    WHERE r.oid = entry.relation;
    IF made.fill IS NULL OR NOT pg_has_role(current_user, owner, 'USAGE') THEN
        RETURN false;
    END IF;
    IF EXISTS (
        SELECT FROM pg_trigger AS t
        WHERE t.tgfoid = made.fill AND t.tgparentid = 0 AND t.tgrelid <> entry.relation
    ) OR NOT pg_has_role(current_user, made.proowner, 'USAGE')
        OR (made.encoder IS NULL AND made.schema <> 'bitryoshka')
    THEN
        -- a function that another table's trigger calls as well, or that is somebody else's, is left
        -- as it is, and the trigger gets new ones
        EXECUTE concat(
            'CREATE OR REPLACE TRIGGER zz_bitryoshka_', column_id, ' BEFORE INSERT OR UPDATE ON ',
            bitryoshka.title(entry.relation), ' FOR EACH ROW EXECUTE FUNCTION ',
            bitryoshka.make_column_functions(column_id));
        RETURN true;
    END IF;
    IF made.schema = 'bitryoshka' THEN
        -- of an earlier revision: under the trigger, the function moves beside the table; the
        -- encoder that a writer may be calling at this moment stays until the column is dropped
        encoder := concat(home, '.bitryoshka_encode_', suffix);
        PERFORM bitryoshka.make_encoder(column_id, encoder);
        EXECUTE concat('ALTER FUNCTION ', encoder, '(', bitryoshka.pgvector(), '.vector) OWNER TO ',
            owner::regrole::text);
        EXECUTE concat('ALTER FUNCTION bitryoshka.', quote_ident(made.name),
            '() RENAME TO bitryoshka_fill_', suffix);
        EXECUTE concat('ALTER FUNCTION bitryoshka.bitryoshka_fill_', suffix, '() SET SCHEMA ',
            home);
        fill := concat(home, '.bitryoshka_fill_', suffix);
    ELSE
        SELECT concat(quote_ident(n.nspname::text), '.', quote_ident(p.proname::text)) INTO encoder
        FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
        WHERE p.oid = made.encoder;
        PERFORM bitryoshka.make_encoder(column_id, encoder);
        EXECUTE concat('ALTER FUNCTION ', encoder, '(', bitryoshka.pgvector(), '.vector) OWNER TO ',
            owner::regrole::text);
        fill := concat(quote_ident(made.schema), '.', quote_ident(made.name));
    END IF;
    EXECUTE concat(
        'CREATE OR REPLACE FUNCTION ', fill, '() RETURNS trigger ',
        'LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS ',
        quote_literal(bitryoshka.fill_body(column_id, encoder)));
    EXECUTE concat('ALTER FUNCTION ', fill, '() OWNER TO ', owner::regrole::text);
    EXECUTE concat('REVOKE EXECUTE ON FUNCTION ', fill, '() FROM PUBLIC');
    RETURN true;
END
$$;
COMMENT ON FUNCTION bitryoshka.renew_column(integer) IS
'Make the functions of a code column again, as this revision makes them; false where the caller may
not, or where its trigger is not the one that the entry says.';

CREATE OR REPLACE FUNCTION bitryoshka.renew_functions() RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    one record;
BEGIN
    -- what its owner has made unusable keeps nobody else's from being made again
    FOR one IN SELECT c.* FROM bitryoshka.columns AS c WHERE c.vector_column IS NOT NULL LOOP
        BEGIN
            PERFORM bitryoshka.renew_column(one.id);
        EXCEPTION
            WHEN lock_not_available THEN
                RAISE;
            WHEN OTHERS THEN
                RAISE WARNING USING MESSAGE = concat(
                    'functions of column ', one.code_column, ' of ',
                    bitryoshka.title(one.relation), ' were not made again: ', SQLERRM);
        END;
    END LOOP;
    FOR one IN
        SELECT k.label FROM bitryoshka.codecs AS k JOIN pg_proc AS p
            ON p.proname = concat('encode_', k.name, '_', k.version)
        WHERE p.pronamespace = 'bitryoshka'::regnamespace AND p.provolatile = 'i'
            AND pg_has_role(current_user, p.proowner, 'USAGE')
    LOOP
        BEGIN
            PERFORM bitryoshka.create_encoder(one.label);
        EXCEPTION WHEN OTHERS THEN
            RAISE WARNING USING MESSAGE = concat(
                'the encoder of ', one.label, ' was not made again: ', SQLERRM);
        END;
    END LOOP;
    FOR one IN
        SELECT DISTINCT t.tgrelid::regclass::text AS title
        FROM pg_trigger AS t JOIN pg_proc AS p ON p.oid = t.tgfoid
        WHERE p.pronamespace = 'bitryoshka'::regnamespace AND NOT t.tgisinternal
            AND p.proname::text ~ '^fill_column_[0-9]+$'
    LOOP
        RAISE WARNING USING MESSAGE = concat(
            'a trigger of ', one.title, ' calls a function of an earlier revision: attach its ',
            'column again, or drop the trigger');
    END LOOP;
END
$$;
COMMENT ON FUNCTION bitryoshka.renew_functions() IS
'Make the functions of all code columns and the encoders of create_encoder again, those that the
caller may: after ALTER EXTENSION bitryoshka UPDATE, or where pgvector was moved.';

CREATE OR REPLACE FUNCTION bitryoshka.drop_if_possible(called text) RETURNS void
LANGUAGE plpgsql STRICT
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '100ms'
AS $$
BEGIN
    EXECUTE concat('DROP FUNCTION IF EXISTS ', called);
EXCEPTION WHEN dependent_objects_still_exist OR insufficient_privilege OR wrong_object_type
    OR lock_not_available
THEN
    -- somebody's view uses it, or it is somebody else's: it does no harm
    NULL;
END
$$;
COMMENT ON FUNCTION bitryoshka.drop_if_possible(text) IS
'Drop a function that is not needed any more, unless it is in use.';

CREATE OR REPLACE FUNCTION bitryoshka.forget_dropped_tables() RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    made regprocedure;
BEGIN
    FOR made IN
        SELECT p.oid
        FROM bitryoshka.columns AS c
        JOIN pg_proc AS p
            ON split_part(p.proname::text, '_', 3) = c.id::text
            AND p.proname::text ~ '^bitryoshka_(fill|encode)_[0-9]+_[0-9a-f]{8}$'
        WHERE p.prokind = 'f' AND NOT EXISTS (SELECT FROM pg_class AS r WHERE r.oid = c.relation)
            AND NOT EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgfoid = p.oid)
            AND pg_has_role(current_user, p.proowner, 'USAGE')
    LOOP
        PERFORM bitryoshka.drop_if_possible(made::text);
    END LOOP;
    DELETE FROM bitryoshka.columns AS c
    WHERE NOT EXISTS (SELECT FROM pg_class AS r WHERE r.oid = c.relation);
END
$$;
COMMENT ON FUNCTION bitryoshka.forget_dropped_tables() IS
'Remove the entries of tables that were dropped, and the functions that their triggers had.';
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
CREATE OR REPLACE FUNCTION bitryoshka.drop_codec(codec text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    encoder text;
BEGIN
    PERFORM bitryoshka.forget_dropped_tables();
    DELETE FROM bitryoshka.codecs AS k WHERE k.label = codec
    RETURNING quote_ident(concat('encode_', k.name, '_', k.version)) INTO encoder;
    IF encoder IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'undefined_object',
            MESSAGE = concat('there is no codec ', quote_literal(codec)),
            HINT = 'SELECT label FROM bitryoshka.codecs lists them; a label is name@version.';
    END IF;
    EXECUTE concat('DROP FUNCTION IF EXISTS bitryoshka.', encoder, '(', bitryoshka.pgvector(),
        '.vector)');
END
$$;
COMMENT ON FUNCTION bitryoshka.drop_codec(text) IS
'Forget a codec and its encoder; an error where a column, an index or a generated column uses it.';
-- what earlier revisions had and this one has not
DO $$
BEGIN
    PERFORM
        bitryoshka.drop_if_possible('bitryoshka.rename_code_column(regclass, name, name)'),
        bitryoshka.drop_if_possible('bitryoshka.progressive_create_encoder(text)'),
        bitryoshka.drop_if_possible('bitryoshka.progressive_create_column_functions(integer)'),
        bitryoshka.drop_if_possible('bitryoshka.create_column_functions(integer)');
END
$$;
-- The trigger of a code column runs with the rights of whoever writes a row: were these objects
-- closed to some writer, its inserts would fail. They hold no data of the tables themselves.
GRANT USAGE ON SCHEMA bitryoshka TO PUBLIC;
GRANT SELECT ON
    bitryoshka.codecs, bitryoshka.weights, bitryoshka.code_bits, bitryoshka.cuts,
    bitryoshka.additive, bitryoshka.additive_lengths, bitryoshka.decoder, bitryoshka.gram,
    bitryoshka.columns, bitryoshka.backfill, bitryoshka.code_columns, bitryoshka.codec_kinds
TO PUBLIC;
REVOKE EXECUTE ON FUNCTION bitryoshka.create_encoder(text) FROM PUBLIC;

-- ids are given by the catalogue alone: whoever may insert may not choose them
DO $$
DECLARE
    one record;
BEGIN
    FOR one IN
        SELECT
            r.relname::text AS name,
            CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END AS role, (
            SELECT string_agg(quote_ident(c.attname::text), ', ') FROM pg_attribute AS c
            WHERE c.attrelid = r.oid AND c.attnum > 0 AND NOT c.attisdropped
                AND c.attidentity = '' AND c.attgenerated = '') AS columns
        FROM pg_class AS r CROSS JOIN LATERAL aclexplode(r.relacl) AS a
        WHERE r.relnamespace = 'bitryoshka'::regnamespace AND r.relname IN ('codecs', 'columns')
            AND a.privilege_type = 'INSERT' AND a.grantee <> r.relowner
    LOOP
        EXECUTE concat('REVOKE INSERT ON bitryoshka.', one.name, ' FROM ', one.role, ' CASCADE');
        EXECUTE concat(
            'GRANT INSERT (', one.columns, ') ON bitryoshka.', one.name, ' TO ', one.role);
    END LOOP;
END
$$;
SELECT bitryoshka.renew_functions();
$script$, '{pgvector}', pgvector);
        DELETE FROM bitryoshka.schema_version;
        INSERT INTO bitryoshka.schema_version (version_num) VALUES ('0004');
    END IF;
    PERFORM set_config('search_path', path, true);
END
$step$
-- next statement
-- Whoever made the schema, or something in it, could have code of their own run by all who use it.
DO $check$
DECLARE
    owner pg_catalog.name;
    found pg_catalog.text;
BEGIN
    SELECT r.rolname INTO owner
    FROM pg_catalog.pg_namespace AS n
    JOIN pg_catalog.pg_roles AS r ON r.oid OPERATOR(pg_catalog.=) n.nspowner
    WHERE n.nspname OPERATOR(pg_catalog.=) 'bitryoshka'::pg_catalog.name;
    IF owner OPERATOR(pg_catalog.<>) current_user THEN
        RAISE EXCEPTION USING
            ERRCODE = 'insufficient_privilege',
            MESSAGE = pg_catalog.concat(
                'schema bitryoshka belongs to role '::pg_catalog.text, owner::pg_catalog.text,
                ', found role '::pg_catalog.text, current_user::pg_catalog.text),
            HINT = 'Do this as that role, by SET ROLE; or give it to yours by REASSIGN OWNED.';
    END IF;
    SELECT pg_catalog.string_agg(
        pg_catalog.concat(f.title, ' of '::pg_catalog.text, f.owner), ', '::pg_catalog.text)
    INTO found
    FROM (
-- What in schema bitryoshka does not belong to the schema's owner
SELECT o.title, r.rolname::pg_catalog.text AS owner, s.rolname::pg_catalog.text AS schema_owner
FROM pg_catalog.pg_namespace AS n
JOIN pg_catalog.pg_roles AS s ON s.oid OPERATOR(pg_catalog.=) n.nspowner
CROSS JOIN LATERAL (
    SELECT c.oid::pg_catalog.regclass::pg_catalog.text, c.relowner
    FROM pg_catalog.pg_class AS c WHERE c.relnamespace OPERATOR(pg_catalog.=) n.oid
    UNION ALL
    SELECT p.oid::pg_catalog.regprocedure::pg_catalog.text, p.proowner
    FROM pg_catalog.pg_proc AS p
    WHERE p.pronamespace OPERATOR(pg_catalog.=) n.oid
        -- of columns that were attached before their functions lay beside their tables
        AND p.proname::pg_catalog.text OPERATOR(pg_catalog.!~) '^(fill|encode)_column_[0-9]+$'
    UNION ALL
    SELECT p.oid::pg_catalog.regoperator::pg_catalog.text, p.oprowner
    FROM pg_catalog.pg_operator AS p WHERE p.oprnamespace OPERATOR(pg_catalog.=) n.oid
    UNION ALL
    SELECT t.oid::pg_catalog.regtype::pg_catalog.text, t.typowner
    FROM pg_catalog.pg_type AS t WHERE t.typnamespace OPERATOR(pg_catalog.=) n.oid
) AS o (title, owner)
JOIN pg_catalog.pg_roles AS r ON r.oid OPERATOR(pg_catalog.=) o.owner
WHERE n.nspname OPERATOR(pg_catalog.=) 'bitryoshka'::pg_catalog.name
    AND o.owner OPERATOR(pg_catalog.<>) n.nspowner
ORDER BY o.title
    ) AS f;
    IF found IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'insufficient_privilege',
            MESSAGE = pg_catalog.concat(
                'all in schema bitryoshka must belong to its owner, found '::pg_catalog.text,
                    found),
            HINT = 'Drop it, or ALTER ... OWNER TO.';
    END IF;
    FOR found IN
        SELECT CASE WHEN a.grantee OPERATOR(pg_catalog.=) 0::pg_catalog.oid THEN 'PUBLIC'
            ELSE a.grantee::pg_catalog.regrole::pg_catalog.text END
        FROM pg_catalog.pg_namespace AS n CROSS JOIN LATERAL pg_catalog.aclexplode(n.nspacl) AS a
        WHERE n.nspname OPERATOR(pg_catalog.=) 'bitryoshka'::pg_catalog.name
            AND a.privilege_type OPERATOR(pg_catalog.=) 'CREATE'::pg_catalog.text
            AND a.grantee OPERATOR(pg_catalog.<>) n.nspowner
    LOOP
        EXECUTE pg_catalog.concat('REVOKE CREATE ON SCHEMA bitryoshka FROM '::pg_catalog.text,
            found, ' CASCADE'::pg_catalog.text);
    END LOOP;
END
$check$