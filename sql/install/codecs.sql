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
    kind text COLLATE "C" NOT NULL,
    CONSTRAINT codecs_name_version UNIQUE (name, version),
    CONSTRAINT codecs_label UNIQUE (label),
    CONSTRAINT codecs_name_is_plain CHECK (name ~ '^[A-Za-z0-9][A-Za-z0-9_.-]{0,39}$'),
    CONSTRAINT codecs_version_is_positive CHECK (version > 0),
    CONSTRAINT codecs_fingerprint_is_sha256 CHECK (fingerprint ~ '^[0-9a-f]{64}$'),
    CONSTRAINT codecs_metric_is_known CHECK (metric IN ('cosine', 'inner_product')),
    CONSTRAINT codecs_kind_is_known CHECK (kind IN ('progressive', 'additive'))
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
