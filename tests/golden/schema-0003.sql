DO $begin$
DECLARE
    pgvector text := (
        SELECT coalesce(installed_version, default_version)
        FROM pg_available_extensions WHERE name = 'vector');
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('bitryoshka'), 0);
    IF EXISTS (SELECT FROM pg_extension WHERE extname = 'bitryoshka') THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = 'schema bitryoshka belongs to the extension of that name',
            HINT = 'Use ALTER EXTENSION bitryoshka UPDATE.';
    END IF;
    IF string_to_array(rtrim(substring(pgvector FROM '^[0-9.]+'), '.'), '.')::integer[] < '{0,8,4}'
    THEN
        RAISE EXCEPTION USING
            ERRCODE = 'feature_not_supported',
            MESSAGE = concat('pgvector 0.8.4 or newer is needed, found ', pgvector),
            HINT = 'Install a newer one on the server, then run ALTER EXTENSION vector UPDATE.';
    END IF;
    CREATE SCHEMA IF NOT EXISTS bitryoshka;
    CREATE TABLE IF NOT EXISTS bitryoshka.schema_version (
        version_num varchar(32) NOT NULL,
        CONSTRAINT schema_version_pkc PRIMARY KEY (version_num)
    );
END
$begin$
-- next statement
DO $step$
DECLARE
    path text := current_setting('search_path');
BEGIN
    IF NOT EXISTS (SELECT FROM bitryoshka.schema_version WHERE version_num >= '0001') THEN
        EXECUTE $script$
CREATE EXTENSION IF NOT EXISTS vector;
-- Functions keep the search_path that is current when they are created: pg_catalog, the schema
-- that pgvector lives in, and the session's own last. CREATE EXTENSION sets such a path by itself.
SELECT pg_catalog.set_config(
    'search_path',
    (SELECT pg_catalog.concat('pg_catalog, ', pg_catalog.quote_ident(n.nspname), ', pg_temp')
     FROM pg_catalog.pg_extension AS e JOIN pg_catalog.pg_namespace AS n ON n.oid = e.extnamespace
     WHERE e.extname = 'vector'),
    true
);
CREATE TABLE bitryoshka.codecs (
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

CREATE TABLE bitryoshka.weights (
    codec_id integer NOT NULL REFERENCES bitryoshka.codecs ON DELETE CASCADE,
    role text COLLATE "C" NOT NULL,
    cut integer NOT NULL DEFAULT 0,
    dimension integer NOT NULL,
    weights vector,
    threshold real,
    step real,
    planes integer,
    PRIMARY KEY (codec_id, role, cut, dimension),
    CONSTRAINT weights_role_is_known CHECK (role IN ('row', 'query bits', 'query weights'))
);
-- encoding reads every row of a codec: out-of-line storage would cost a look-up for each
ALTER TABLE bitryoshka.weights ALTER COLUMN weights SET STORAGE MAIN;
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

CREATE TABLE bitryoshka.code_bits (
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

CREATE TABLE bitryoshka.cuts (
    codec_id integer NOT NULL REFERENCES bitryoshka.codecs ON DELETE CASCADE,
    bits integer NOT NULL,
    levels vector NOT NULL,
    PRIMARY KEY (codec_id, bits)
);
COMMENT ON TABLE bitryoshka.cuts IS
'The lengths at which a code may be cut, and the decoding weight of each bit at that length.';

CREATE FUNCTION bitryoshka.refuse_change() RETURNS trigger
LANGUAGE plpgsql
SET search_path FROM CURRENT
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
CREATE TRIGGER refuse_change BEFORE UPDATE OR TRUNCATE ON bitryoshka.codecs
EXECUTE FUNCTION bitryoshka.refuse_change();
CREATE TRIGGER refuse_change BEFORE UPDATE OR TRUNCATE ON bitryoshka.weights
EXECUTE FUNCTION bitryoshka.refuse_change();
CREATE TRIGGER refuse_change BEFORE UPDATE OR TRUNCATE ON bitryoshka.code_bits
EXECUTE FUNCTION bitryoshka.refuse_change();
CREATE TRIGGER refuse_change BEFORE UPDATE OR TRUNCATE ON bitryoshka.cuts
EXECUTE FUNCTION bitryoshka.refuse_change();
CREATE FUNCTION bitryoshka.find_codec(codec text, input vector) RETURNS bitryoshka.codecs
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
SET search_path FROM CURRENT
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
    IF vector_dims(input) <> one.dimensions THEN
        RAISE EXCEPTION USING
            ERRCODE = 'data_exception',
            MESSAGE = concat('codec ', codec, ' expects ', one.dimensions,
                ' dimensions, found ', vector_dims(input));
    END IF;
    IF one.metric = 'cosine' AND vector_norm(input) = 0 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'data_exception',
            MESSAGE = concat('codec ', codec, ' compares by cosine: a zero vector has no code');
    END IF;
    RETURN one;
END
$$;
COMMENT ON FUNCTION bitryoshka.find_codec(text, vector) IS
'The codec of a label, after checking that the vector fits it; an error says what does not.';
CREATE FUNCTION bitryoshka.encode(codec text, input vector) RETURNS bit
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE COST 20000
SET search_path FROM CURRENT
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
        scale := -1 / nullif(vector_norm(input), 0);
    END IF;
    IF found_id IS NULL OR wanted <> vector_dims(input) OR scale IS NULL THEN
        PERFORM bitryoshka.find_codec(codec, input);
    END IF;
    IF length = signs THEN
        RETURN (
            SELECT string_agg(
                CASE WHEN (w.weights <#> input) * scale > w.threshold THEN '1' ELSE '0' END, '')
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
            (weights <#> input) * scale - threshold AS z,
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
COMMENT ON FUNCTION bitryoshka.encode(text, vector) IS
'Code of a vector: encode(''docs@1'', embedding). NULL gives NULL; a vector of another dimension,
and a zero vector where the codec compares by cosine, is an error. The bits are those that
Binarizer.encode gives in Python, but for projected values within rounding of a threshold.';

CREATE FUNCTION bitryoshka.encode(codec text, input halfvec) RETURNS bit
LANGUAGE sql STABLE STRICT PARALLEL SAFE COST 20000
RETURN bitryoshka.encode(codec, input::vector);
COMMENT ON FUNCTION bitryoshka.encode(text, halfvec) IS
'Code of a halfvec, as encode(text, vector) of the same numbers.';
-- IMMUTABLE although they read tables: those refuse every change, and no id is given twice. So the
-- encoder of a column has its codec's arrays as constants of its plan, read once a session.
CREATE FUNCTION bitryoshka.codec_weights(codec_id integer) RETURNS vector[]
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
SET search_path FROM CURRENT
AS $$
DECLARE
    found vector[] := (
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

CREATE FUNCTION bitryoshka.codec_numbers(codec_id integer, kind text) RETURNS double precision[]
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
SET search_path FROM CURRENT
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
CREATE FUNCTION bitryoshka.encode_query(codec text, input vector, bits integer DEFAULT NULL)
RETURNS bit
LANGUAGE plpgsql STABLE PARALLEL SAFE COST 20000
SET search_path FROM CURRENT
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
        scale := -1 / vector_norm(input);
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
            CASE WHEN (w.weights <#> input) * scale > thresholds[w.dimension + 1]
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
COMMENT ON FUNCTION bitryoshka.encode_query(text, vector, integer) IS
'The first bits of a query (by default the codec''s hamming_bits), to be compared by Hamming
distance with equally long beginnings of stored codes. They may differ from the bits of the same
vector as a row: queries have thresholds of their own.';
CREATE FUNCTION bitryoshka.query_planes(codec text, input vector, bits integer DEFAULT NULL)
RETURNS bit[]
LANGUAGE plpgsql STABLE PARALLEL SAFE COST 50000
SET search_path FROM CURRENT
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
        scale := -1 / vector_norm(input);
    END IF;
    SELECT array_agg((w.weights <#> input) * scale) INTO bit_weights
    FROM (
        SELECT weights FROM bitryoshka.weights
        WHERE codec_id = one.id AND role = 'query weights' AND cut = length
        ORDER BY dimension
    ) AS w;
    -- a codec without weights for queries weighs each bit as its projected dimension and its level
    IF bit_weights IS NULL THEN
        SELECT l.levels::real[] INTO levels
        FROM bitryoshka.cuts AS l WHERE l.codec_id = one.id AND l.bits = length;
        SELECT array_agg((w.weights <#> input) * scale) INTO projected
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
COMMENT ON FUNCTION bitryoshka.query_planes(text, vector, integer) IS
'The weights that a query gives to each bit of a code, rounded to 8 bits and split into 8 bit
strings, the most significant first, for asymmetric_score. bits: one of the codec''s nested_bits,
to score codes that are cut there; by default the whole code.';
-- A body that is bound when it is made needs no search_path of its own, and so can be inlined.
CREATE FUNCTION bitryoshka.asymmetric_score(code bit, planes bit[]) RETURNS integer
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (
    255 * bit_length(code) - 2 * (
        128 * (code <~> planes[1])
        + 64 * (code <~> planes[2])
        + 32 * (code <~> planes[3])
        + 16 * (code <~> planes[4])
        + 8 * (code <~> planes[5])
        + 4 * (code <~> planes[6])
        + 2 * (code <~> planes[7])
        + (code <~> planes[8])
    )
)::integer;
COMMENT ON FUNCTION bitryoshka.asymmetric_score(bit, bit[]) IS
'How well a stored code answers a query of query_planes: larger is better, up to a factor of the
query the inner product with the decoded row. No float column is needed. The code must be as long
as the planes; cut it with substring where they were made for fewer bits.';
CREATE FUNCTION bitryoshka.create_encoder(codec text) RETURNS regprocedure
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET extra_float_digits = 1
AS $$
DECLARE
    one bitryoshka.codecs;
    name text;
    scale text := '-1';
    weights text;
    thresholds text;
    steps text;
    halves text;
    picked text;
    masks text;
    body text;
BEGIN
    SELECT * INTO one FROM bitryoshka.codecs WHERE label = codec;
    IF one.id IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'undefined_object',
            MESSAGE = concat('there is no codec ', quote_literal(codec)),
            HINT = 'SELECT label FROM bitryoshka.codecs lists them; a label is name@version.';
    END IF;
    name := concat('bitryoshka.', quote_ident(concat('encode_', one.name, '_', one.version)));
    IF one.metric = 'cosine' THEN
        scale := '-1 / nullif(vector_norm(input), 0)';
    END IF;
    SELECT
        array_agg(w.weights ORDER BY w.dimension)::text,
        array_agg(w.threshold ORDER BY w.dimension)::text,
        array_agg(w.step ORDER BY w.dimension)::text,
        array_agg((1 << (w.planes - 1))::double precision ORDER BY w.dimension)::text
    INTO weights, thresholds, steps, halves
    FROM bitryoshka.weights AS w
    WHERE w.codec_id = one.id AND w.role = 'row' AND w.cut = 0;
    SELECT
        array_agg(b.dimension + 1 ORDER BY b.position)::text,
        array_agg(b.mask ORDER BY b.position)::text
    INTO picked, masks
    FROM bitryoshka.code_bits AS b
    WHERE b.codec_id = one.id AND b.position >= one.hamming_bits;
    body := concat(
        'DECLARE scale double precision := ', scale, ';',
        CASE WHEN one.bits > one.hamming_bits THEN ' digits text; numbers integer[];' END,
        ' BEGIN IF scale IS NULL OR vector_dims(input) <> ', one.dimensions,
        ' THEN PERFORM bitryoshka.find_codec(', quote_literal(codec), ', input); END IF; ');
    IF one.bits = one.hamming_bits THEN
        body := concat(body,
            'RETURN (SELECT string_agg(CASE WHEN (w <#> input) * scale > t THEN ''1'' ',
            'ELSE ''0'' END, '''') FROM (SELECT unnest(', quote_literal(weights),
            '::vector[]) AS w, unnest(', quote_literal(thresholds), '::real[]) AS t) AS x',
            ')::varbit; END');
    ELSE
        body := concat(body,
            'SELECT string_agg(CASE WHEN z > 0 THEN ''1'' ELSE ''0'' END, ''''), ',
            'array_agg((least(greatest(ceil(z / step), 1 - half), half) + half - 1)::integer) ',
            'INTO digits, numbers FROM (SELECT (w <#> input) * scale - t AS z, step, half FROM (',
            'SELECT unnest(', quote_literal(weights), '::vector[]) AS w, unnest(',
            quote_literal(thresholds), '::real[]) AS t, unnest(', quote_literal(steps),
            '::real[]) AS step, unnest(', quote_literal(halves),
            '::double precision[]) AS half) AS x OFFSET 0) AS y; ',
            'RETURN (SELECT digits || string_agg(CASE WHEN numbers[d] & m <> 0 THEN ''1'' ',
            'ELSE ''0'' END, '''') FROM (SELECT unnest(', quote_literal(picked),
            '::integer[]) AS d, unnest(', quote_literal(masks), '::integer[]) AS m) AS x',
            ')::varbit; END');
    END IF;
    EXECUTE concat(
        'CREATE OR REPLACE FUNCTION ', name, '(input vector) RETURNS bit ',
        'LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE COST 20000 SET search_path FROM CURRENT ',
        'AS ', quote_literal(body));
    EXECUTE concat(
        'COMMENT ON FUNCTION ', name, '(vector) IS ', quote_literal(concat(
            'encode(''', codec, ''', input) with the weights as constants, for generated columns ',
            'and expression indexes. Fingerprint ', one.fingerprint, '.')));
    RETURN concat(name, '(vector)')::regprocedure;
END
$$;
COMMENT ON FUNCTION bitryoshka.create_encoder(text) IS
'Make the IMMUTABLE function encode_NAME_VERSION(vector), whose body holds the codec''s weights: for
generated columns and expression indexes, and faster in bulk than encode. Its first use in a
session reads all weights as text, which takes tens of milliseconds.';
CREATE FUNCTION bitryoshka.begin_codec(
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
SET search_path FROM CURRENT
AS $$
DECLARE
    one bitryoshka.codecs;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('bitryoshka'), 1);
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
-- The trigger of a code column runs with the rights of whoever writes a row: were these objects
-- closed to some writer, its inserts would fail. They hold no data of the tables themselves.
GRANT USAGE ON SCHEMA bitryoshka TO PUBLIC;
GRANT SELECT ON
    bitryoshka.codecs, bitryoshka.weights, bitryoshka.code_bits, bitryoshka.cuts
TO PUBLIC;
REVOKE EXECUTE ON FUNCTION bitryoshka.create_encoder(text) FROM PUBLIC;
$script$;
        DELETE FROM bitryoshka.schema_version;
        INSERT INTO bitryoshka.schema_version (version_num) VALUES ('0001');
    END IF;
    PERFORM set_config('search_path', path, true);
END
$step$
-- next statement
DO $step$
DECLARE
    path text := current_setting('search_path');
BEGIN
    IF NOT EXISTS (SELECT FROM bitryoshka.schema_version WHERE version_num >= '0002') THEN
        EXECUTE $script$
-- Functions keep the search_path that is current when they are created: pg_catalog, the schema
-- that pgvector lives in, and the session's own last. CREATE EXTENSION sets such a path by itself.
SELECT pg_catalog.set_config(
    'search_path',
    (SELECT pg_catalog.concat('pg_catalog, ', pg_catalog.quote_ident(n.nspname), ', pg_temp')
     FROM pg_catalog.pg_extension AS e JOIN pg_catalog.pg_namespace AS n ON n.oid = e.extnamespace
     WHERE e.extname = 'vector'),
    true
);
CREATE TABLE bitryoshka.columns (
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
    CONSTRAINT columns_once UNIQUE (relation, code_column),
    CONSTRAINT columns_bad_vectors_is_known CHECK (bad_vectors IN ('reject', 'skip')),
    CONSTRAINT columns_state_is_known CHECK (state IN ('filling', 'ready'))
);
COMMENT ON TABLE bitryoshka.columns IS
'Columns of codes: of which table and vector column, by which codec, and how far they are filled.';
COMMENT ON COLUMN bitryoshka.columns.vector_column IS
'The column that is encoded; NULL where the table has codes alone, which somebody else writes.';
COMMENT ON COLUMN bitryoshka.columns.bad_vectors IS
'What becomes of a row whose vector has no code: reject refuses it, skip leaves its code NULL.';
COMMENT ON COLUMN bitryoshka.columns.prefix_bits IS
'Length of the prefix that the HNSW index covers; NULL where there is no index.';

CREATE TABLE bitryoshka.backfill (
    column_id integer NOT NULL REFERENCES bitryoshka.columns ON DELETE CASCADE,
    relation regclass NOT NULL,
    last_key text[] NOT NULL,
    rows bigint NOT NULL,
    PRIMARY KEY (column_id, relation)
);
COMMENT ON TABLE bitryoshka.backfill IS
'How far the filling of a column has come in its table, or in each partition: up to which key.';

CREATE VIEW bitryoshka.code_columns AS
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
    c.id
FROM bitryoshka.columns AS c
JOIN bitryoshka.codecs AS k ON k.id = c.codec_id
JOIN pg_catalog.pg_class AS r ON r.oid = c.relation;
COMMENT ON VIEW bitryoshka.code_columns IS
'Which column holds codes of which codec: SELECT * FROM bitryoshka.code_columns.';
GRANT SELECT ON bitryoshka.columns, bitryoshka.backfill, bitryoshka.code_columns TO PUBLIC;
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
-- Its settings are put back by hand: naming them in the function's head would need pgvector's
-- library loaded, or a superuser, wherever the function is created or restored.
CREATE FUNCTION bitryoshka.search(
    items anyelement,
    query vector,
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
SET search_path FROM CURRENT
AS $$
DECLARE
    target regclass := (
        SELECT t.typrelid FROM pg_type AS t WHERE t.oid = pg_typeof(items)::oid);
    codec text;
    prefix integer;
    ef_search text := current_setting('hnsw.ef_search', true);
    iterative_scan text := current_setting('hnsw.iterative_scan', true);
    max_scan_tuples text := current_setting('hnsw.max_scan_tuples', true);
    scan_mem_multiplier text := current_setting('hnsw.scan_mem_multiplier', true);
BEGIN
    IF coalesce(target, 0) = 0::oid THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = concat('expected NULL of the type of a table''s rows, such as ',
                'NULL::public.docs, found ', pg_typeof(items)::text);
    END IF;
    SELECT c.codec, coalesce(search.prefix_bits, c.prefix_bits) INTO codec, prefix
    FROM bitryoshka.code_columns AS c
    WHERE c.relation = target AND c.code_column = search.code_column;
    IF query IS NULL THEN
        RETURN;
    END IF;
    PERFORM
        set_config('hnsw.ef_search', least(candidates, 1000)::text, true),
        set_config('hnsw.iterative_scan', 'relaxed_order', true),
        set_config('hnsw.max_scan_tuples', '2147483647', true),
        set_config('hnsw.scan_mem_multiplier', '1000', true);
    RETURN QUERY EXECUTE bitryoshka.search_statement(
        target, code_column, k, candidates, search.prefix_bits, rescore, exact, filter)
    USING
        bitryoshka.encode_query(codec, query, prefix),
        CASE WHEN rescore THEN bitryoshka.query_planes(codec, query) END,
        query,
        filter_values;
    PERFORM
        set_config('hnsw.ef_search', ef_search, true),
        set_config('hnsw.iterative_scan', iterative_scan, true),
        set_config('hnsw.max_scan_tuples', max_scan_tuples, true),
        set_config('hnsw.scan_mem_multiplier', scan_mem_multiplier, true);
END
$$;
COMMENT ON FUNCTION bitryoshka.search(
    anyelement, vector, integer, integer, text, integer, boolean, integer, text, jsonb) IS
'The k best rows for a query, best first:
SELECT (s.item).id, s.score FROM bitryoshka.search(NULL::docs, query_vector, k => 10) AS s.
The candidates nearest by Hamming distance on the prefix are ranked by the float query against
their whole codes (rescore), and the best of those, exact of them, by their stored vectors.
filter is SQL of your own over the table''s columns; give it values as $4, filter_values, and never
paste a user''s input into it: filter => ''tenant = ($4->>''''tenant'''')::int''.';
CREATE FUNCTION bitryoshka.create_column_functions(column_id integer) RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    entry bitryoshka.columns;
    one bitryoshka.codecs;
    title text;
    pgvector text;
    vector_type text;
    dimensions integer;
    code text;
    vectors text;
    arrays text;
    body text;
    has_code text := 'true';
BEGIN
    SELECT c.* INTO entry FROM bitryoshka.columns AS c WHERE c.id = column_id;
    SELECT k.* INTO one FROM bitryoshka.codecs AS k WHERE k.id = entry.codec_id;
    SELECT quote_ident(n.nspname) INTO pgvector
    FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace
    WHERE e.extname = 'vector';
    SELECT concat(n.nspname, '.', r.relname), y.typname, a.atttypmod
    INTO title, vector_type, dimensions
    FROM pg_attribute AS a
    JOIN pg_class AS r ON r.oid = a.attrelid
    JOIN pg_namespace AS n ON n.oid = r.relnamespace
    JOIN pg_type AS y ON y.oid = a.atttypid
    WHERE a.attrelid = entry.relation AND a.attname = entry.vector_column;
    code := quote_ident(entry.code_column);
    vectors := concat('NEW.', quote_ident(entry.vector_column));
    arrays := concat('bitryoshka.codec_numbers(', one.id, ', ');

    IF one.bits = one.hamming_bits THEN
        body := concat('
    RETURN (
        SELECT string_agg(CASE WHEN (w <#> input) * scale > t THEN ''1'' ELSE ''0'' END, '''')
        FROM (
            SELECT
                unnest(bitryoshka.codec_weights(', one.id, ')) AS w,
                unnest(', arrays, '''threshold'')) AS t
        ) AS x
    )::varbit;');
    ELSE
        body := concat('
    SELECT
        string_agg(CASE WHEN z > 0 THEN ''1'' ELSE ''0'' END, ''''),
        array_agg((least(greatest(ceil(z / step), 1 - half), half) + half - 1)::integer)
    INTO digits, numbers
    FROM (
        SELECT (w <#> input) * scale - t AS z, step, half
        FROM (
            SELECT
                unnest(bitryoshka.codec_weights(', one.id, ')) AS w,
                unnest(', arrays, '''threshold'')) AS t,
                unnest(', arrays, '''step'')) AS step,
                unnest(', arrays, '''half'')) AS half
        ) AS x
        OFFSET 0
    ) AS y;
    RETURN (
        SELECT digits || string_agg(
            CASE WHEN numbers[d] & m <> 0 THEN ''1'' ELSE ''0'' END, '''')
        FROM (
            SELECT
                unnest(', arrays, '''place'')::integer[]) AS d,
                unnest(', arrays, '''mask'')::integer[]) AS m
        ) AS x
    )::varbit;');
    END IF;
    EXECUTE concat(
        'CREATE OR REPLACE FUNCTION bitryoshka.encode_column_', column_id,
        '(input ', pgvector, '.vector) RETURNS bit ',
        'LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE COST 20000 ',
        'SET search_path = pg_catalog, ', pgvector, ', pg_temp ',
        'SET plan_cache_mode = force_generic_plan AS ', quote_literal(concat('
DECLARE
    scale double precision := ',
            CASE one.metric
                WHEN 'cosine' THEN '-1 / nullif(vector_norm(input), 0)' ELSE '-1'
            END, ';
    digits text;
    numbers integer[];
BEGIN
    IF scale IS NULL OR vector_dims(input) <> ', one.dimensions, ' THEN
        PERFORM bitryoshka.find_codec(', quote_literal(one.label), ', input);
    END IF;', body, '
END
')));

    IF entry.bad_vectors = 'skip' THEN
        has_code := concat_ws(' AND ',
            CASE WHEN dimensions = -1
                THEN concat('vector_dims(', vectors, ') = ', one.dimensions) END,
            CASE WHEN one.metric = 'cosine'
                THEN concat('vector_norm(', vectors, '::vector) > 0') END);
        has_code := coalesce(nullif(has_code, ''), 'true');
    END IF;
    -- what is compared stands here and not in the trigger's WHEN: a dump could not restore an
    -- operator of pgvector there
    EXECUTE concat(
        'CREATE OR REPLACE FUNCTION bitryoshka.fill_column_', column_id, '() RETURNS trigger ',
        'LANGUAGE plpgsql SET search_path = pg_catalog, ', pgvector, ', pg_temp AS ',
        quote_literal(concat('
BEGIN
    IF TG_OP = ''UPDATE'' THEN
        IF OLD.', quote_ident(entry.vector_column), ' IS NOT DISTINCT FROM ', vectors, ' AND (
            OLD.', code, ' IS NOT DISTINCT FROM NEW.', code, '
            -- the backfill writes codes that it has made already
            OR current_setting(''bitryoshka.backfill'', true) = ''on''
        ) THEN
            RETURN NEW;
        END IF;
    END IF;
    NEW.', code, ' := CASE WHEN ', has_code, ' THEN bitryoshka.encode_column_', column_id, '(',
            vectors, CASE WHEN vector_type <> 'vector' THEN '::vector' END, ') END;
    RETURN NEW;
END
')));
    EXECUTE concat(
        'COMMENT ON FUNCTION bitryoshka.fill_column_', column_id, '() IS ', quote_literal(concat(
            'Trigger: codes of ', one.label, ' for a column of ', title, '.')));
END
$$;
COMMENT ON FUNCTION bitryoshka.create_column_functions(integer) IS
'Make or replace the encoder and the trigger function of a code column, as its entry in
bitryoshka.columns says.';
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
CREATE FUNCTION bitryoshka.drop_codec(codec text) RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    encoder text;
    pgvector text := (
        SELECT quote_ident(n.nspname)
        FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace
        WHERE e.extname = 'vector');
BEGIN
    -- tables that were dropped use no codec
    DELETE FROM bitryoshka.columns AS c
    WHERE NOT EXISTS (SELECT FROM pg_class AS r WHERE r.oid = c.relation);
    DELETE FROM bitryoshka.codecs AS k WHERE k.label = codec
    RETURNING quote_ident(concat('encode_', k.name, '_', k.version)) INTO encoder;
    IF encoder IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'undefined_object',
            MESSAGE = concat('there is no codec ', quote_literal(codec)),
            HINT = 'SELECT label FROM bitryoshka.codecs lists them; a label is name@version.';
    END IF;
    EXECUTE concat('DROP FUNCTION IF EXISTS bitryoshka.', encoder, '(', pgvector, '.vector)');
END
$$;
COMMENT ON FUNCTION bitryoshka.drop_codec(text) IS
'Forget a codec and its encoder; an error where a column, an index or a generated column uses it.';
$script$;
        DELETE FROM bitryoshka.schema_version;
        INSERT INTO bitryoshka.schema_version (version_num) VALUES ('0002');
    END IF;
    PERFORM set_config('search_path', path, true);
END
$step$
-- next statement
DO $step$
DECLARE
    path text := current_setting('search_path');
BEGIN
    IF NOT EXISTS (SELECT FROM bitryoshka.schema_version WHERE version_num >= '0003') THEN
        EXECUTE $script$
-- Functions keep the search_path that is current when they are created: pg_catalog, the schema
-- that pgvector lives in, and the session's own last. CREATE EXTENSION sets such a path by itself.
SELECT pg_catalog.set_config(
    'search_path',
    (SELECT pg_catalog.concat('pg_catalog, ', pg_catalog.quote_ident(n.nspname), ', pg_temp')
     FROM pg_catalog.pg_extension AS e JOIN pg_catalog.pg_namespace AS n ON n.oid = e.extnamespace
     WHERE e.extname = 'vector'),
    true
);
CREATE TABLE bitryoshka.additive (
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

CREATE TABLE bitryoshka.additive_lengths (
    codec_id integer NOT NULL REFERENCES bitryoshka.additive ON DELETE CASCADE,
    bits integer NOT NULL,
    weight real NOT NULL,
    centre vector NOT NULL,
    PRIMARY KEY (codec_id, bits)
);
COMMENT ON TABLE bitryoshka.additive_lengths IS
'The lengths at which the loss of an additive code is taken, what each counts, and what its sum of
rows begins with. The longest is the code that is searched for; a codec may keep its beginning.';

CREATE TABLE bitryoshka.decoder (
    codec_id integer NOT NULL REFERENCES bitryoshka.additive ON DELETE CASCADE,
    bits integer NOT NULL,
    position integer NOT NULL,
    weights vector NOT NULL,
    PRIMARY KEY (codec_id, bits, position)
);
ALTER TABLE bitryoshka.decoder ALTER COLUMN weights SET STORAGE MAIN;
COMMENT ON TABLE bitryoshka.decoder IS
'By length and position in the code, from 0: the row that a bit adds, or takes away where it is 0.';

CREATE TABLE bitryoshka.gram (
    codec_id integer NOT NULL REFERENCES bitryoshka.additive ON DELETE CASCADE,
    position integer NOT NULL,
    products vector NOT NULL,
    shift real NOT NULL,
    square real NOT NULL,
    PRIMARY KEY (codec_id, position)
);
ALTER TABLE bitryoshka.gram ALTER COLUMN products SET STORAGE MAIN;
COMMENT ON TABLE bitryoshka.gram IS
'What follows from the decoder: products of each of its rows with all of them, with the centre, and
with itself, summed over the lengths with their weights. Written by write_gram.';

CREATE TRIGGER refuse_change BEFORE UPDATE OR TRUNCATE ON bitryoshka.additive
EXECUTE FUNCTION bitryoshka.refuse_change();
CREATE TRIGGER refuse_change BEFORE UPDATE OR TRUNCATE ON bitryoshka.additive_lengths
EXECUTE FUNCTION bitryoshka.refuse_change();
CREATE TRIGGER refuse_change BEFORE UPDATE OR TRUNCATE ON bitryoshka.decoder
EXECUTE FUNCTION bitryoshka.refuse_change();
CREATE TRIGGER refuse_change BEFORE UPDATE OR TRUNCATE ON bitryoshka.gram
EXECUTE FUNCTION bitryoshka.refuse_change();

CREATE VIEW bitryoshka.codec_kinds AS
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

CREATE FUNCTION bitryoshka.write_gram(codec_id integer) RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
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
    SELECT write_gram.codec_id, p.position, sum(p.products), sum(p.shift), sum(p.square)
    FROM (
        SELECT
            d.position,
            (ARRAY(
                SELECT (d.weights <#> e.weights) * -l.weight
                FROM bitryoshka.decoder AS e
                WHERE e.codec_id = d.codec_id AND e.bits = d.bits
                ORDER BY e.position
            ) || array_fill(0::double precision, ARRAY[whole - l.bits]))::vector AS products,
            (d.weights <#> l.centre) * -l.weight AS shift,
            (d.weights <#> d.weights) * -l.weight AS square
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

GRANT SELECT ON
    bitryoshka.additive, bitryoshka.additive_lengths, bitryoshka.decoder, bitryoshka.gram,
    bitryoshka.codec_kinds
TO PUBLIC;
-- IMMUTABLE as codec_weights is, and for the same reason
CREATE FUNCTION bitryoshka.codec_rows(codec_id integer, kind text) RETURNS vector[]
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
SET search_path FROM CURRENT
AS $$
DECLARE
    found vector[];
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
        SELECT ARRAY[array_agg(g.shift ORDER BY g.position)::vector] INTO found
        FROM bitryoshka.gram AS g WHERE g.codec_id = codec_rows.codec_id;
    ELSIF kind = 'square' THEN
        SELECT ARRAY[array_agg(g.square ORDER BY g.position)::vector] INTO found
        FROM bitryoshka.gram AS g WHERE g.codec_id = codec_rows.codec_id;
    ELSIF kind = 'unit' THEN
        SELECT ARRAY[(
            array_fill(0::real, ARRAY[max(l.bits) - 1]) || 1::real
            || array_fill(0::real, ARRAY[max(l.bits) - 1]))::vector] INTO found
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

CREATE FUNCTION bitryoshka.codec_factors(codec_id integer, kind text) RETURNS double precision[]
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
SET search_path FROM CURRENT
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

CREATE FUNCTION bitryoshka.codec_flips(codec_id integer) RETURNS varbit
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
SET search_path FROM CURRENT
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
CREATE FUNCTION bitryoshka.additive_body() RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path FROM CURRENT
AS $function$
SELECT $body$
DECLARE
    lengths integer[] := bitryoshka.codec_factors({codec}, 'length')::integer[];
    length_weights double precision[] := bitryoshka.codec_factors({codec}, 'weight');
    settings double precision[] := bitryoshka.codec_factors({codec}, 'setting');
    centres vector[] := bitryoshka.codec_rows({codec}, 'centre');
    unit vector := (bitryoshka.codec_rows({codec}, 'unit'))[1];
    reach vector := (bitryoshka.codec_rows({codec}, 'square'))[1];
    zero vector := reach - reach;
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
    linear vector;
    added vector;
    score vector;
    scores vector[] := '{}';
    along double precision[] := '{}';
    signs vector;
    against vector;
    negative varbit;
    unset varbit;
    turning varbit;
    place integer := 0;
    sweep integer := 1;
    restart integer := 0;
    gradient vector;
    same vector;
    wanted varbit;
    pull double precision;
    pulled double precision[] := '{}';
    pulls vector[] := '{}';
    step integer;
    cleared integer;
    turn integer;
    moved vector;
    changed vector;
    loss double precision;
    best_loss double precision;
    best_signs vector;
    best_against vector;
    best_along double precision[];
    best_negative varbit;
BEGIN
    SELECT array_agg(CASE WHEN (w <#> input) * scale > t THEN 1 ELSE -1 END::real) INTO start
    FROM {projection} AS x (w, t);
    SELECT array_agg(z * weight), array_agg(CASE WHEN abs(y) < tiny THEN 0 ELSE y END)
    INTO linears, products
    FROM (
        SELECT z, weight, z * (root * sqrt(weight)) AS y
        FROM (
            SELECT (d <#> input) * scale AS z, weight FROM {decoder} AS x (d, weight) OFFSET 0
        ) AS x
        OFFSET 0
    ) AS x;
    signs := start::vector;
    unset := repeat('0', cardinality(start))::varbit;
    IF cardinality(start) < bits THEN
        signs := signs || subvector(zero, 1, bits - cardinality(start));
        unset := unset || repeat('1', bits - cardinality(start))::varbit;
    END IF;
    negative := binary_quantize(zero - signs);
    linear := zero - (bitryoshka.codec_rows({codec}, 'shift'))[1];
    FOR part IN 1..parts LOOP
        added := subvector(linears::vector, first + 1, lengths[part]);
        score := subvector(products::vector, first + 1, lengths[part]);
        IF part < parts THEN
            added := added || subvector(zero, 1, bits - lengths[part]);
            score := score || subvector(zero, 1, bits - lengths[part]);
        END IF;
        linear := linear + added;
        scores := scores || score;
        reach := reach + score * score;
        along := along || (
            (power(vector_norm(input) * scale, 2) - (centres[part] <#> input) * scale)
            * root * sqrt(length_weights[part]) + (signs <#> score));
        begins := begins || first;
        first := first + lengths[part];
    END LOOP;
    against := (SELECT array_agg(g <#> signs) FROM {gram} AS x (g))::vector;
    against := zero - against - linear;
    LOOP
        IF place < bits AND get_bit(unset, place) = 1 THEN
            step := 1;
            pull := -(against <#> subvector(unit, bits - place, bits));
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
            gradient := against - signs * reach;
            FOR part IN 1..scored LOOP
                IF along[part] IS DISTINCT FROM pulled[part] THEN
                    pulled[part] := along[part];
                    IF abs(along[part]) < tiny THEN
                        pulls[part] := zero;
                    ELSE
                        same := array_fill(along[part]::real, ARRAY[32])::vector;
                        WHILE vector_dims(same) < bits LOOP
                            same := same || same || same || same;
                        END LOOP;
                        pulls[part] := scores[part] * subvector(same, 1, bits);
                    END IF;
                END IF;
                gradient := gradient - pulls[part];
            END LOOP;
            wanted := binary_quantize(gradient);
            step := position(B'1' IN substring((wanted # negative) | unset FROM place + 1));
            IF step > 0 THEN
                cleared := get_bit(wanted, place + step - 1);
            END IF;
        END IF;
        IF step > 0 THEN
            place := place + step;
            moved := {gram row};
            changed := subvector(unit, bits - place + 1, bits);
            turn := 1;
            IF get_bit(unset, place - 1) = 0 THEN
                moved := moved + moved;
                changed := changed + changed;
                turn := 2;
            END IF;
            IF cleared = 0 THEN
                against := against + moved;
                signs := signs + changed;
            ELSE
                against := against - moved;
                signs := signs - changed;
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
            loss := (signs <#> (linear - against));
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
-- What encodes by progressive codecs goes on under names of its own. It is copied, and what had the
-- names is replaced: rights on it, and views that use it, stay.
DO $$
DECLARE
    called text;
BEGIN
    FOREACH called IN ARRAY ARRAY['encode', 'create_encoder', 'create_column_functions'] LOOP
        EXECUTE replace(
            pg_get_functiondef((
                SELECT p.oid FROM pg_proc AS p
                WHERE p.pronamespace = 'bitryoshka'::regnamespace AND p.proname = called
                    AND p.prolang <> (SELECT l.oid FROM pg_language AS l WHERE l.lanname = 'sql'))),
            concat('FUNCTION bitryoshka.', called, '('),
            concat('FUNCTION bitryoshka.progressive_', called, '('));
    END LOOP;
END
$$;
COMMENT ON FUNCTION bitryoshka.progressive_encode(text, vector) IS
'What encode does for a progressive codec.';
COMMENT ON FUNCTION bitryoshka.progressive_create_encoder(text) IS
'What create_encoder does for a progressive codec.';
COMMENT ON FUNCTION bitryoshka.progressive_create_column_functions(integer) IS
'What create_column_functions does for a progressive codec.';
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
        'CREATE FUNCTION bitryoshka.additive_encode(codec_id integer, input vector, ',
        'scale double precision) RETURNS bit ',
        'LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE COST 100000 SET search_path FROM CURRENT ',
        'SET enable_sort = off SET enable_bitmapscan = off ',
        'SET plan_cache_mode = force_generic_plan AS ',
        quote_literal(replace(body, '{codec}', 'additive_encode.codec_id')));
END
$$;
COMMENT ON FUNCTION bitryoshka.additive_encode(integer, vector, double precision) IS
'What encode does for an additive codec, and a vector that fits it; scale: -1 / its length, or -1
where the codec compares by inner product.';

CREATE OR REPLACE FUNCTION bitryoshka.encode(codec text, input vector) RETURNS bit
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE COST 20000
SET search_path FROM CURRENT
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
        CASE one.metric WHEN 'cosine' THEN -1 / vector_norm(input) ELSE -1 END);
END
$$;
COMMENT ON FUNCTION bitryoshka.encode(text, vector) IS
'Code of a vector: encode(''docs@1'', embedding). NULL gives NULL; a vector of another dimension,
and a zero vector where the codec compares by cosine, is an error. The bits are those that
Binarizer.encode gives in Python, but for projected values within rounding of a threshold; by an
additive codec, for bits of which either choice is as good, within rounding.';
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
$script$;
        DELETE FROM bitryoshka.schema_version;
        INSERT INTO bitryoshka.schema_version (version_num) VALUES ('0003');
    END IF;
    PERFORM set_config('search_path', path, true);
END
$step$
