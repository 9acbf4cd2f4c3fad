-- Columns of codes: attached, adopted, looked at, switched and taken away.

-- name: add_code_column
SELECT bitryoshka.add_code_column(
    {table}::pg_catalog.regclass, {vector}, {codec}, {code}, {bad_vectors}, {prefix_bits},
    {published}
)

-- name: adopt_column
INSERT INTO bitryoshka.columns (
    relation, vector_column, code_column, codec_id, bad_vectors, prefix_bits, state, search_name
)
VALUES ({oid}::pg_catalog.oid, NULL, {code}, {codec_id}, 'reject', {prefix_bits}, 'ready', {code})

-- name: attached_codec
-- what a column has in the catalogue
SELECT c.codec, k.bits, c.vector_column::pg_catalog.text, c.state
FROM bitryoshka.code_columns AS c
JOIN bitryoshka.codecs AS k ON k.label OPERATOR(pg_catalog.=) c.codec
WHERE c.relation OPERATOR(pg_catalog.=) pg_catalog.to_regclass({table})::pg_catalog.oid
    AND c.code_column OPERATOR(pg_catalog.=) {code}

-- name: attached_columns
-- columns of the catalogue, adopted ones too, which have no vectors; whole: whether the table still
-- has the columns that the entry names
SELECT
    n.nspname::pg_catalog.text, r.relname::pg_catalog.text, c.code_column::pg_catalog.text,
    c.vector_column::pg_catalog.text, c.codec, k.dimensions, c.bad_vectors, c.prefix_bits,
    a.attname IS NOT NULL AND (c.vector_column IS NULL OR v.attname IS NOT NULL)
FROM bitryoshka.code_columns AS c
JOIN bitryoshka.codecs AS k ON k.label OPERATOR(pg_catalog.=) c.codec
JOIN pg_catalog.pg_class AS r ON r.oid OPERATOR(pg_catalog.=) c.relation
JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) r.relnamespace
LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid OPERATOR(pg_catalog.=) r.oid
    AND a.attname OPERATOR(pg_catalog.=) c.code_column AND NOT a.attisdropped
LEFT JOIN pg_catalog.pg_attribute AS v ON v.attrelid OPERATOR(pg_catalog.=) r.oid
    AND v.attname OPERATOR(pg_catalog.=) c.vector_column AND NOT v.attisdropped

-- name: bit_columns
SELECT n.nspname::pg_catalog.text, r.relname::pg_catalog.text, a.attname::pg_catalog.text,
    a.atttypmod
FROM pg_catalog.pg_attribute AS a
JOIN pg_catalog.pg_class AS r ON r.oid OPERATOR(pg_catalog.=) a.attrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) r.relnamespace
WHERE a.atttypid OPERATOR(pg_catalog.=) 'pg_catalog.bit'::pg_catalog.regtype
    AND a.attnum OPERATOR(pg_catalog.>) 0
    AND (r.relkind OPERATOR(pg_catalog.=) 'r' OR r.relkind OPERATOR(pg_catalog.=) 'p')

-- name: checked_column
-- all rows were looked at, and have the right codes
UPDATE bitryoshka.columns SET state = 'ready'
WHERE id OPERATOR(pg_catalog.=) {column_id} AND state OPERATOR(pg_catalog.=) 'checking'

-- name: codec_of_column
-- its label; an error where no codec is attached to the column
SELECT c.codec FROM bitryoshka.code_columns AS c
WHERE c.id OPERATOR(pg_catalog.=) bitryoshka.own_column({table}::pg_catalog.regclass, {code})

-- name: column_entry
SELECT
    c.id, c.vector_column::pg_catalog.text, k.label, c.bad_vectors, c.prefix_bits, c.state,
    c.code_column::pg_catalog.text, c.search_name::pg_catalog.text
FROM bitryoshka.columns AS c JOIN bitryoshka.codecs AS k ON k.id OPERATOR(pg_catalog.=) c.codec_id
WHERE c.relation OPERATOR(pg_catalog.=) {oid}::pg_catalog.oid
    AND (c.code_column::pg_catalog.text OPERATOR(pg_catalog.=) {code}
    OR c.search_name::pg_catalog.text OPERATOR(pg_catalog.=) {code})

-- name: column_functions
SELECT
    en.nspname::pg_catalog.text,
    e.proname::pg_catalog.text,
    fo.rolname::pg_catalog.text,
    eo.rolname::pg_catalog.text,
    ro.rolname::pg_catalog.text,
    -- as this revision makes them, for pgvector and the table where they are now
    f.prosrc OPERATOR(pg_catalog.=) bitryoshka.fill_body(
        {column_id},
        pg_catalog.concat(
            pg_catalog.quote_ident(en.nspname::pg_catalog.text), '.',
            pg_catalog.quote_ident(e.proname::pg_catalog.text)))
    AND e.prosrc OPERATOR(pg_catalog.=) (
        SELECT bitryoshka.column_encoder(k)
        FROM bitryoshka.columns AS m
        JOIN bitryoshka.codecs AS k ON k.id OPERATOR(pg_catalog.=) m.codec_id
        WHERE m.id OPERATOR(pg_catalog.=) {column_id}
    )
    -- before each row of every INSERT and UPDATE, beside the table, and without settings of its own
    AND t.tgtype OPERATOR(pg_catalog.=) 23::smallint
    AND t.tgattr::pg_catalog.text OPERATOR(pg_catalog.=) '' AND t.tgqual IS NULL
    AND n.oid OPERATOR(pg_catalog.=) r.relnamespace AND en.oid OPERATOR(pg_catalog.=) n.oid
    AND NOT f.prosecdef AND NOT e.prosecdef
    AND f.proconfig OPERATOR(pg_catalog.=) ARRAY['search_path=pg_catalog, pg_temp']
    AND e.proconfig OPERATOR(pg_catalog.=)
        ARRAY['search_path=pg_catalog, pg_temp', 'plan_cache_mode=force_generic_plan'],
    -- on the table and on every partition of it
    NOT EXISTS (
        SELECT FROM pg_catalog.pg_class AS x
        WHERE (x.oid OPERATOR(pg_catalog.=) r.oid OR x.oid OPERATOR(pg_catalog.=) ANY (
                SELECT y.relid
                FROM pg_catalog.pg_partition_tree(r.oid::pg_catalog.regclass) AS y))
            AND NOT EXISTS (
                SELECT FROM pg_catalog.pg_trigger AS z
                WHERE z.tgrelid OPERATOR(pg_catalog.=) x.oid
                    AND z.tgfoid OPERATOR(pg_catalog.=) f.oid
                    AND (z.tgenabled OPERATOR(pg_catalog.=) 'O'
                        OR z.tgenabled OPERATOR(pg_catalog.=) 'A'))
    ),
    -- which writes the same column
    (
        SELECT pg_catalog.concat(z.tgrelid::pg_catalog.regclass::pg_catalog.text, ': ', z.tgname)
        FROM pg_catalog.pg_trigger AS z
        JOIN pg_catalog.pg_proc AS g ON g.oid OPERATOR(pg_catalog.=) z.tgfoid
        WHERE z.tgrelid OPERATOR(pg_catalog.=) ANY (
                SELECT y.relid
                FROM pg_catalog.pg_partition_tree(r.oid::pg_catalog.regclass) AS y)
            AND z.tgparentid OPERATOR(pg_catalog.=) 0::pg_catalog.oid
            AND z.tgrelid OPERATOR(pg_catalog.<>) r.oid
            AND z.tgname::pg_catalog.text OPERATOR(pg_catalog.~) '^zz_bitryoshka_[0-9]+$'
            AND pg_catalog.strpos(g.prosrc, pg_catalog.concat(
                'NEW.', pg_catalog.quote_ident({code}), ' := ')) OPERATOR(pg_catalog.>) 0
        LIMIT 1
    )
FROM bitryoshka.column_functions({column_id}) AS c
JOIN pg_catalog.pg_proc AS f ON f.oid OPERATOR(pg_catalog.=) c.fill
JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) f.pronamespace
JOIN pg_catalog.pg_roles AS fo ON fo.oid OPERATOR(pg_catalog.=) f.proowner
LEFT JOIN pg_catalog.pg_proc AS e ON e.oid OPERATOR(pg_catalog.=) c.encoder
LEFT JOIN pg_catalog.pg_namespace AS en ON en.oid OPERATOR(pg_catalog.=) e.pronamespace
LEFT JOIN pg_catalog.pg_roles AS eo ON eo.oid OPERATOR(pg_catalog.=) e.proowner
JOIN pg_catalog.pg_class AS r ON r.oid OPERATOR(pg_catalog.=) {oid}::pg_catalog.oid
JOIN pg_catalog.pg_roles AS ro ON ro.oid OPERATOR(pg_catalog.=) r.relowner
JOIN pg_catalog.pg_trigger AS t
    ON t.tgrelid OPERATOR(pg_catalog.=) r.oid AND t.tgfoid OPERATOR(pg_catalog.=) f.oid

-- name: column_types
-- a type has its plain name where it is built in or pgvector's; others bear their schema
SELECT
    a.attname::pg_catalog.text,
    CASE
        WHEN n.nspname OPERATOR(pg_catalog.=) 'pg_catalog'
            OR e.extnamespace OPERATOR(pg_catalog.=) n.oid
            AND (y.typname OPERATOR(pg_catalog.=) 'vector'
                OR y.typname OPERATOR(pg_catalog.=) 'halfvec')
        THEN y.typname::pg_catalog.text
        ELSE pg_catalog.concat(n.nspname::pg_catalog.text, '.', y.typname::pg_catalog.text)
    END,
    a.atttypmod,
    a.attgenerated OPERATOR(pg_catalog.<>) ''
FROM pg_catalog.pg_attribute AS a
JOIN pg_catalog.pg_type AS y ON y.oid OPERATOR(pg_catalog.=) a.atttypid
JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) y.typnamespace
LEFT JOIN pg_catalog.pg_extension AS e ON e.extname OPERATOR(pg_catalog.=) 'vector'
WHERE a.attrelid OPERATOR(pg_catalog.=) {oid}::pg_catalog.oid
    AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped

-- name: columns_view
SELECT pg_catalog.to_regclass('bitryoshka.code_columns')::pg_catalog.text

-- name: drop_column
SELECT bitryoshka.drop_column({column_id})

-- name: drop_own_column
SELECT bitryoshka.drop_column(bitryoshka.own_column({table}::pg_catalog.regclass, {code}))

-- name: finish_column
UPDATE bitryoshka.columns SET
    state = {state},
    prefix_bits = {prefix_bits},
    verified_at = pg_catalog.now(),
    verification = {verification}
WHERE id OPERATOR(pg_catalog.=) {column_id}

-- name: key_of
-- with the schema of pgvector, the table's oid, and whether searches find a column in the table
SELECT
    a.attname::pg_catalog.text,
    (
        SELECT v.nspname::pg_catalog.text
        FROM pg_catalog.pg_extension AS e
            JOIN pg_catalog.pg_namespace AS v ON v.oid OPERATOR(pg_catalog.=) e.extnamespace
        WHERE e.extname OPERATOR(pg_catalog.=) 'vector'
    ),
    c.oid::bigint,
    EXISTS (
        SELECT FROM bitryoshka.columns AS b
        WHERE b.relation OPERATOR(pg_catalog.=) c.oid
            AND b.search_name::pg_catalog.text OPERATOR(pg_catalog.=) {code}
    )
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
JOIN pg_catalog.pg_index AS i ON i.indrelid OPERATOR(pg_catalog.=) c.oid AND i.indisprimary
CROSS JOIN LATERAL pg_catalog.unnest(i.indkey::smallint[]) WITH ORDINALITY AS k (number, place)
JOIN pg_catalog.pg_attribute AS a ON a.attrelid OPERATOR(pg_catalog.=) c.oid
    AND a.attnum OPERATOR(pg_catalog.=) k.number
WHERE n.nspname OPERATOR(pg_catalog.=) {schema} AND c.relname OPERATOR(pg_catalog.=) {table}
    AND k.place OPERATOR(pg_catalog.<=) i.indnkeyatts
ORDER BY k.place

-- name: leaves
SELECT c.oid::bigint, n.nspname::pg_catalog.text, c.relname::pg_catalog.text,
    c.relkind::pg_catalog.text
FROM pg_catalog.pg_partition_tree({oid}::pg_catalog.oid::pg_catalog.regclass) AS t
JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) t.relid
JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
WHERE t.isleaf
ORDER BY n.nspname, c.relname

-- name: list_columns
SELECT
    n.nspname::pg_catalog.text, r.relname::pg_catalog.text, c.code_column::pg_catalog.text,
    c.search_name::pg_catalog.text, c.codec, c.state, c.prefix_bits
FROM bitryoshka.code_columns AS c
JOIN pg_catalog.pg_class AS r ON r.oid OPERATOR(pg_catalog.=) c.relation
JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) r.relnamespace
ORDER BY 1, 2, 3

-- name: next_column_id
SELECT coalesce(pg_catalog.max(id), 0) OPERATOR(pg_catalog.+) 1 FROM bitryoshka.columns

-- name: primary_key
-- with the schema of the operators by which the key's index orders each column
SELECT
    a.attname::pg_catalog.text,
    pg_catalog.format_type(a.atttypid, a.atttypmod),
    (
        SELECT n.nspname::pg_catalog.text
        FROM pg_catalog.pg_opclass AS c
        JOIN pg_catalog.pg_amop AS m ON m.amopfamily OPERATOR(pg_catalog.=) c.opcfamily
        JOIN pg_catalog.pg_operator AS o ON o.oid OPERATOR(pg_catalog.=) m.amopopr
        JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) o.oprnamespace
        WHERE c.oid OPERATOR(pg_catalog.=) i.indclass[k.place::integer OPERATOR(pg_catalog.-) 1]
            AND m.amoplefttype OPERATOR(pg_catalog.=) c.opcintype
            AND m.amoprighttype OPERATOR(pg_catalog.=) c.opcintype
            AND o.oprname OPERATOR(pg_catalog.=) '>'
        LIMIT 1
    )
FROM pg_catalog.pg_index AS i
CROSS JOIN LATERAL
    pg_catalog.unnest(i.indkey::smallint[]) WITH ORDINALITY AS k (number, place)
JOIN pg_catalog.pg_attribute AS a
    ON a.attrelid OPERATOR(pg_catalog.=) i.indrelid AND a.attnum OPERATOR(pg_catalog.=) k.number
WHERE i.indrelid OPERATOR(pg_catalog.=) {oid}::pg_catalog.oid AND i.indisprimary
    -- columns that the index includes are no part of the key
    AND k.place OPERATOR(pg_catalog.<=) i.indnkeyatts
ORDER BY k.place

-- name: release_column
SELECT bitryoshka.release_column({column_id})

-- name: release_own_column
SELECT bitryoshka.release_column(bitryoshka.own_column({table}::pg_catalog.regclass, {code}))

-- name: renamed_columns
-- columns of a codec's codes that the table has no more under their names
SELECT c.code_column::pg_catalog.text
FROM bitryoshka.columns AS c JOIN bitryoshka.codecs AS k ON k.id OPERATOR(pg_catalog.=) c.codec_id
WHERE c.relation OPERATOR(pg_catalog.=) {oid}::pg_catalog.oid
    AND k.label OPERATOR(pg_catalog.=) {codec} AND c.vector_column IS NOT NULL
    AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_attribute AS a
        WHERE a.attrelid OPERATOR(pg_catalog.=) c.relation
            AND a.attname OPERATOR(pg_catalog.=) c.code_column
            AND a.attnum OPERATOR(pg_catalog.>) 0)

-- name: renew_column
SELECT bitryoshka.renew_column({column_id})

-- name: restore_column
SELECT bitryoshka.restore_column({column_id}, {vector}, {code}, {published})

-- name: restore_own_column
SELECT bitryoshka.restore_column(
    bitryoshka.own_column({table}::pg_catalog.regclass, {code}), {vector}, {code}, false
)

-- name: row_security
SELECT c.oid::pg_catalog.regclass::pg_catalog.text
FROM pg_catalog.pg_class AS c
WHERE pg_catalog.row_security_active(c.oid) AND (
    c.oid OPERATOR(pg_catalog.=) {oid}::pg_catalog.oid
    OR c.oid OPERATOR(pg_catalog.=) ANY (
        SELECT t.relid
            FROM pg_catalog.pg_partition_tree({oid}::pg_catalog.oid::pg_catalog.regclass) AS t)
)
LIMIT 1

-- name: stored_column
-- its type and comment; no row where the table has no such column
SELECT
    pg_catalog.format_type(a.atttypid, a.atttypmod),
    pg_catalog.col_description(a.attrelid, a.attnum)
FROM pg_catalog.pg_attribute AS a
WHERE a.attrelid OPERATOR(pg_catalog.=) pg_catalog.to_regclass({table})::pg_catalog.oid
    AND a.attname OPERATOR(pg_catalog.=) {code} AND a.attnum OPERATOR(pg_catalog.>) 0

-- name: switch_code_column
SELECT bitryoshka.switch_code_column({table}::pg_catalog.regclass, {new}, {code}, {kept})

-- name: table_columns
SELECT a.attname, CASE
        WHEN y.typname OPERATOR(pg_catalog.=) 'vector' OR y.typname OPERATOR(pg_catalog.=) 'halfvec'
        THEN pg_catalog.concat(y.typname::pg_catalog.text, '(', a.atttypmod, ')')
        ELSE pg_catalog.format_type(a.atttypid, a.atttypmod)
    END, pg_catalog.col_description(a.attrelid, a.attnum)
FROM pg_catalog.pg_attribute AS a
    JOIN pg_catalog.pg_type AS y ON y.oid OPERATOR(pg_catalog.=) a.atttypid
WHERE a.attrelid OPERATOR(pg_catalog.=) pg_catalog.to_regclass({table})
    AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped
ORDER BY a.attnum

-- name: table_oid
SELECT c.oid::bigint, c.relkind::pg_catalog.text, c.relhassubclass
FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
WHERE n.nspname OPERATOR(pg_catalog.=) {schema} AND c.relname OPERATOR(pg_catalog.=) {table}
    AND (c.relkind OPERATOR(pg_catalog.=) 'r' OR c.relkind OPERATOR(pg_catalog.=) 'p'
    OR c.relkind OPERATOR(pg_catalog.=) 'v' OR c.relkind OPERATOR(pg_catalog.=) 'm'
    OR c.relkind OPERATOR(pg_catalog.=) 'f')
