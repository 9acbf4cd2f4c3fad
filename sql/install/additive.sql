CREATE TABLE IF NOT EXISTS bitryoshka.additive (
    codec_id integer PRIMARY KEY REFERENCES bitryoshka.codecs ON DELETE CASCADE,
    score_weight double precision NOT NULL,
    sweeps integer NOT NULL,
    flips bit varying NOT NULL
);
COMMENT ON TABLE bitryoshka.additive IS
'Codecs whose bits are searched for, so that a sum of signed rows of the decoder comes nearest to
the vector. They start as signs of the projected dimensions (weights, code_bits, cuts).';
-- codecs of earlier revisions
DO $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_attribute
        WHERE attrelid = 'bitryoshka.codecs'::regclass AND attname = 'kind'
    ) THEN
        ALTER TABLE bitryoshka.codecs DISABLE TRIGGER USER;
        ALTER TABLE bitryoshka.codecs ADD COLUMN kind text COLLATE "C";
        UPDATE bitryoshka.codecs AS c SET kind = CASE
            WHEN EXISTS (SELECT FROM bitryoshka.additive AS a WHERE a.codec_id = c.id)
            THEN 'additive' ELSE 'progressive' END;
        ALTER TABLE bitryoshka.codecs
            ALTER COLUMN kind SET NOT NULL,
            ADD CONSTRAINT codecs_kind_is_known CHECK (kind IN ('progressive', 'additive'));
        ALTER TABLE bitryoshka.codecs ENABLE TRIGGER USER;
    END IF;
END
$$;
COMMENT ON COLUMN bitryoshka.codecs.kind IS
'progressive, its bits are digits of projected dimensions; or additive, they are searched for.';
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
    c.kind COLLATE "default" AS kind,
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
