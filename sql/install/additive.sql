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
