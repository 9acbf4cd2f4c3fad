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
    CONSTRAINT columns_state_is_known CHECK (state IN ('filling', 'checking', 'ready'))
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
DO $$
BEGIN
    IF strpos((
        SELECT pg_get_constraintdef(c.oid) FROM pg_constraint AS c
        WHERE c.conrelid = 'bitryoshka.columns'::regclass AND c.conname = 'columns_state_is_known'
    ), 'checking') = 0 THEN
        ALTER TABLE bitryoshka.columns
            DROP CONSTRAINT columns_state_is_known,
            ADD CONSTRAINT columns_state_is_known
                CHECK (state IN ('filling', 'checking', 'ready'));
    END IF;
END
$$;
COMMENT ON TABLE bitryoshka.columns IS
'Columns of codes: of which table and vector column, by which codec, and how far they are filled.';
COMMENT ON COLUMN bitryoshka.columns.vector_column IS
'The column that is encoded; NULL where the table has codes alone, which somebody else writes.';
COMMENT ON COLUMN bitryoshka.columns.state IS
'filling: rows lack their codes. checking: codes that are there may be others'', and all are looked at
before it is ready.';
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
