-- Codes in a narrow table of their own, beside the table that has the vectors.

-- name: create_narrow
-- the key's columns have the types and collations of the table's
CREATE TABLE {codes} AS
SELECT {keys}, NULL::bit({bits}) AS {code} FROM ONLY {table} WITH NO DATA;
ALTER TABLE {codes}
    ADD PRIMARY KEY ({keys}),
    ADD CONSTRAINT bitryoshka_narrow FOREIGN KEY ({keys}) REFERENCES {table} ({keys})
        ON UPDATE CASCADE ON DELETE CASCADE;
COMMENT ON COLUMN {codes}.{code} IS {codec};
ALTER TABLE {codes} OWNER TO {owner}

-- name: create_narrow_function
-- It writes the codes with the rights of the table's owner, as a foreign key does.
CREATE FUNCTION {function}() RETURNS pg_catalog.trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS {body};
COMMENT ON FUNCTION {function}() IS {comment};
ALTER FUNCTION {function}() OWNER TO {owner};
REVOKE EXECUTE ON FUNCTION {function}() FROM PUBLIC;
COMMENT ON FUNCTION {encoder}({pgvector}.vector) IS {comment};
ALTER FUNCTION {encoder}({pgvector}.vector) OWNER TO {owner};
CREATE TRIGGER {trigger} AFTER INSERT OR UPDATE ON {table}
FOR EACH ROW EXECUTE FUNCTION {function}()

-- name: drop_narrow_functions
SELECT bitryoshka.drop_functions({oid}::pg_catalog.oid)

-- name: drop_narrow_table
DROP TABLE {codes}

-- name: drop_narrow_trigger
DROP TRIGGER {trigger} ON {table}

-- name: enter_narrow
INSERT INTO bitryoshka.columns (
    relation, vector_column, code_column, codec_id, bad_vectors, prefix_bits, state, search_name
)
VALUES (
    {codes}::pg_catalog.regclass, NULL, {code}, {codec_id}, {bad_vectors}, {prefix_bits}, {state},
    {code}
)
RETURNING id

-- name: forget_column
DELETE FROM bitryoshka.columns WHERE id OPERATOR(pg_catalog.=) {column_id}

-- name: forget_dropped_tables
SELECT bitryoshka.forget_dropped_tables()

-- name: grant_narrow
GRANT SELECT ON {codes} TO {role}

-- name: make_narrow_encoder
SELECT bitryoshka.make_encoder({column_id}, {encoder})

-- name: name_narrow_vectors
COMMENT ON CONSTRAINT bitryoshka_narrow ON {codes} IS {comment}

-- name: narrow_apply
-- A row that somebody else is changing is left for a later pass. Place and version name the very row
-- that was read, and its lock is held until its code is written: no older code takes the place of one
-- that the trigger writes for a later version.
WITH locked AS MATERIALIZED (
    SELECT {t_keys}, b.code
    FROM pg_temp.bitryoshka_batch AS b
        JOIN ONLY {table} AS t ON t.ctid OPERATOR(pg_catalog.=) b.place
    WHERE t.xmin OPERATOR(pg_catalog.=) b.version
    FOR NO KEY UPDATE OF t SKIP LOCKED
)
INSERT INTO {codes} AS n ({keys}, {code})
TABLE locked -- by place: a column of the key may have any name
ON CONFLICT ({keys}) DO UPDATE SET {code} = excluded.{code} WHERE {due}

-- name: narrow_body
#variable_conflict use_column
-- columns may have any name: where a table is read, all variables are named by their block
<<bitryoshka_block>>
DECLARE
    made bit({bits});
    hint pg_catalog.text;
BEGIN
    BEGIN
        IF TG_OP OPERATOR(pg_catalog.=) 'UPDATE' THEN
            IF coalesce(
                OLD.{vector} OPERATOR({pgvector}.=) NEW.{vector},
                OLD.{vector} IS NULL AND NEW.{vector} IS NULL
            ) THEN
                RETURN NULL;
            END IF;
        END IF;
        IF pg_catalog.to_regclass({codes_name}) IS NULL
            OR coalesce(pg_catalog.to_regclass({table_name})::pg_catalog.oid
                OPERATOR(pg_catalog.<>) TG_RELID, true)
        THEN
            RAISE EXCEPTION USING
                ERRCODE = 'undefined_table',
                MESSAGE = 'one of the two tables was renamed, moved or dropped';
        END IF;
        -- reads no row, and names what was renamed
        IF ROW({new_keys}) IS NULL AND EXISTS (SELECT {n_keys}, n.{code} FROM {codes} AS n WHERE false)
        THEN
            RETURN NULL;
        END IF;
        IF {has_code} THEN
            made := {encoder}(NEW.{vector}::{pgvector}.vector);
        END IF;
    EXCEPTION WHEN undefined_column OR undefined_function OR undefined_object OR undefined_table
        OR invalid_schema_name OR cannot_coerce OR datatype_mismatch OR string_data_length_mismatch
    THEN
        GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
        RAISE EXCEPTION USING
            ERRCODE = SQLSTATE,
            MESSAGE = pg_catalog.concat({about}, ': ', SQLERRM),
            -- of a column that is not there Postgres guesses
            HINT = CASE WHEN hint OPERATOR(pg_catalog.<>) ''
                    AND SQLSTATE OPERATOR(pg_catalog.<>) '42703' THEN hint
                ELSE 'bitryoshka attach --layout narrow takes up what was renamed or changed; '
                    'bitryoshka detach ends it.' END;
    END;
    -- no subtransaction writes: a long COPY would have one for each row
    IF made IS NULL AND TG_OP OPERATOR(pg_catalog.=) 'INSERT' THEN
        RETURN NULL;
    END IF;
    -- a trigger before this one may have changed the row again, or deleted it
    INSERT INTO {codes} AS n ({keys}, {code})
    SELECT {new_keys}, bitryoshka_block.made FROM ONLY {table} AS t
    WHERE {same} AND coalesce(
        t.{vector} OPERATOR({pgvector}.=) NEW.{vector}, t.{vector} IS NULL AND NEW.{vector} IS NULL)
    ON CONFLICT ({keys}) DO UPDATE SET {code} = excluded.{code};
    RETURN NULL;
END

-- name: narrow_clear
-- codes of rows whose vector is gone, or has none
WITH locked AS MATERIALIZED (
    SELECT {t_keys}
    FROM (SELECT * FROM {codes} WHERE {within} AND {code} IS NOT NULL) AS n
        JOIN ONLY {table} AS t ON {same}
    WHERE (t.{vector} IS NOT NULL AND {t_has_code}) IS NOT TRUE
    FOR NO KEY UPDATE OF t SKIP LOCKED
)
UPDATE {codes} AS n SET {code} = NULL FROM locked AS t WHERE {same}

-- name: narrow_encode
WITH locked AS MATERIALIZED (
    SELECT {t_keys}, {encoder}(t.{vector}::{pgvector}.vector)
    FROM ONLY {table} AS t
    WHERE {within} AND t.{vector} IS NOT NULL AND {t_has_code} AND NOT EXISTS (
        SELECT FROM {codes} AS n WHERE {same} AND n.{code} IS NOT NULL)
    FOR NO KEY UPDATE OF t SKIP LOCKED
)
INSERT INTO {codes} AS n ({keys}, {code})
TABLE locked
ON CONFLICT ({keys}) DO UPDATE SET {code} = excluded.{code} WHERE n.{code} IS NULL

-- name: narrow_facts
-- what decides whether a table can have its codes beside it
SELECT
    r.relkind OPERATOR(pg_catalog.=) 'p', r.relrowsecurity,
    r.relpersistence OPERATOR(pg_catalog.=) 'p', o.rolname::pg_catalog.text
FROM pg_catalog.pg_class AS r
JOIN pg_catalog.pg_roles AS o ON o.oid OPERATOR(pg_catalog.=) r.relowner
WHERE r.oid OPERATOR(pg_catalog.=) {oid}::pg_catalog.oid

-- name: narrow_filter
-- the condition names the table's columns, and the key of the row of codes is told by its name
EXISTS (
    SELECT FROM {table} AS bitryoshka_item WHERE {same} AND ({where}
    )
)

-- name: narrow_keys
-- the columns of the key of a table of codes, and those of the table that they refer to
SELECT a.attname::pg_catalog.text, b.attname::pg_catalog.text
FROM pg_catalog.pg_constraint AS k
CROSS JOIN LATERAL ROWS FROM (
    pg_catalog.unnest(k.conkey), pg_catalog.unnest(k.confkey)
) WITH ORDINALITY AS x (here, there, place)
JOIN pg_catalog.pg_attribute AS a ON a.attrelid OPERATOR(pg_catalog.=) k.conrelid
    AND a.attnum OPERATOR(pg_catalog.=) x.here
JOIN pg_catalog.pg_attribute AS b ON b.attrelid OPERATOR(pg_catalog.=) k.confrelid
    AND b.attnum OPERATOR(pg_catalog.=) x.there
WHERE k.conrelid OPERATOR(pg_catalog.=) {oid}::pg_catalog.oid
    AND k.contype OPERATOR(pg_catalog.=) 'f' AND k.conname OPERATOR(pg_catalog.=) 'bitryoshka_narrow'
ORDER BY x.place

-- name: narrow_orphans
SELECT pg_catalog.count(*) FROM {codes} AS n
WHERE NOT EXISTS (SELECT FROM {table} AS t WHERE {same})

-- name: narrow_readers
-- roles that may read a table besides its owner; NULL for PUBLIC
SELECT DISTINCT o.rolname::pg_catalog.text
FROM pg_catalog.pg_class AS r CROSS JOIN LATERAL pg_catalog.aclexplode(r.relacl) AS a
LEFT JOIN pg_catalog.pg_roles AS o ON o.oid OPERATOR(pg_catalog.=) a.grantee
WHERE r.oid OPERATOR(pg_catalog.=) {oid}::pg_catalog.oid
    AND a.privilege_type OPERATOR(pg_catalog.=) 'SELECT'
    AND a.grantee OPERATOR(pg_catalog.<>) r.relowner

-- name: narrow_search
SELECT q.number::integer, s.bitryoshka_score, {s_keys}
FROM pg_catalog.unnest({queries}::pg_catalog.text[]) WITH ORDINALITY AS q (query, number)
CROSS JOIN LATERAL (
    SELECT {t_keys}, {similarity} AS bitryoshka_score
    FROM bitryoshka.search(
        NULL::{codes},
        q.query::{pgvector}.vector,
        k => {shortlist}::integer,
        candidates => {candidates}::integer,
        code_column => {code_column},
        prefix_bits => {prefix_bits}::integer,
        rescore => {rescore},
        filter => {filter}
    ) AS b
    JOIN {table} AS t ON {found}
    ORDER BY bitryoshka_score DESC, {t_keys}
    LIMIT {k}
) AS s
ORDER BY q.number, s.bitryoshka_score DESC, {s_keys}

-- name: narrow_statement
SELECT bitryoshka_item AS item, {score} AS score
FROM (
{stage}
) AS b
JOIN {table} AS bitryoshka_item ON {found}
ORDER BY score DESC, {item_keys}
LIMIT {k}

-- name: narrow_tables
-- tables of codes, of a table or by their own oid, with the column of vectors, and the column of codes,
-- which a dump of the tables alone brings without an entry
SELECT
    r.oid::bigint, n.nspname::pg_catalog.text, r.relname::pg_catalog.text,
    u.oid::bigint, m.nspname::pg_catalog.text, u.relname::pg_catalog.text,
    pg_catalog.obj_description(k.oid, 'pg_constraint'),
    coalesce(c.code_column::pg_catalog.text, (
        SELECT a.attname::pg_catalog.text FROM pg_catalog.pg_attribute AS a
        WHERE a.attrelid OPERATOR(pg_catalog.=) r.oid AND a.attnum OPERATOR(pg_catalog.>) 0
            AND a.atttypid OPERATOR(pg_catalog.=) 'pg_catalog.bit'::pg_catalog.regtype
            AND a.attnum OPERATOR(pg_catalog.<>) ALL (k.conkey)
        ORDER BY a.attnum LIMIT 1))
FROM pg_catalog.pg_constraint AS k
JOIN pg_catalog.pg_class AS r ON r.oid OPERATOR(pg_catalog.=) k.conrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) r.relnamespace
JOIN pg_catalog.pg_class AS u ON u.oid OPERATOR(pg_catalog.=) k.confrelid
JOIN pg_catalog.pg_namespace AS m ON m.oid OPERATOR(pg_catalog.=) u.relnamespace
LEFT JOIN bitryoshka.columns AS c
    ON c.relation OPERATOR(pg_catalog.=) r.oid AND c.vector_column IS NULL
WHERE k.contype OPERATOR(pg_catalog.=) 'f' AND k.conname OPERATOR(pg_catalog.=) 'bitryoshka_narrow'
    -- another role's table would run that role's code for whoever mends it
    AND r.relowner OPERATOR(pg_catalog.=) u.relowner
    AND (k.conrelid OPERATOR(pg_catalog.=) {oid}::pg_catalog.oid
    OR k.confrelid OPERATOR(pg_catalog.=) {oid}::pg_catalog.oid)
ORDER BY n.nspname, r.relname

-- name: narrow_triggers
-- those of a table, with what their functions are
SELECT
    t.tgname::pg_catalog.text,
    t.tgenabled OPERATOR(pg_catalog.=) 'O' OR t.tgenabled OPERATOR(pg_catalog.=) 'A',
    -- after each row of every INSERT and UPDATE
    t.tgtype OPERATOR(pg_catalog.=) 21::smallint
    AND t.tgattr::pg_catalog.text OPERATOR(pg_catalog.=) '' AND t.tgqual IS NULL
    AND f.prosecdef AND NOT e.prosecdef
    AND f.proconfig OPERATOR(pg_catalog.=) ARRAY['search_path=pg_catalog, pg_temp']
    AND e.proconfig OPERATOR(pg_catalog.=)
        ARRAY['search_path=pg_catalog, pg_temp', 'plan_cache_mode=force_generic_plan'],
    f.oid::bigint, f.prosrc, n.nspname::pg_catalog.text, f.proname::pg_catalog.text, e.prosrc,
    fo.rolname::pg_catalog.text, eo.rolname::pg_catalog.text, ro.rolname::pg_catalog.text,
    -- whether there is still a table that it writes to
    EXISTS (
        SELECT FROM bitryoshka.columns AS c
        JOIN pg_catalog.pg_class AS x ON x.oid OPERATOR(pg_catalog.=) c.relation
        WHERE c.vector_column IS NULL AND t.tgname::pg_catalog.text
            OPERATOR(pg_catalog.=) pg_catalog.concat('zz_bitryoshka_narrow_', c.id)
    )
FROM pg_catalog.pg_trigger AS t
JOIN pg_catalog.pg_class AS r ON r.oid OPERATOR(pg_catalog.=) t.tgrelid
JOIN pg_catalog.pg_roles AS ro ON ro.oid OPERATOR(pg_catalog.=) r.relowner
JOIN pg_catalog.pg_proc AS f ON f.oid OPERATOR(pg_catalog.=) t.tgfoid
JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) f.pronamespace
JOIN pg_catalog.pg_roles AS fo ON fo.oid OPERATOR(pg_catalog.=) f.proowner
LEFT JOIN pg_catalog.pg_proc AS e
    ON e.pronamespace OPERATOR(pg_catalog.=) f.pronamespace
    AND e.proname::pg_catalog.text OPERATOR(pg_catalog.=)
        pg_catalog.replace(f.proname::pg_catalog.text, 'bitryoshka_fill_', 'bitryoshka_encode_')
    AND e.pronargs OPERATOR(pg_catalog.=) 1
LEFT JOIN pg_catalog.pg_roles AS eo ON eo.oid OPERATOR(pg_catalog.=) e.proowner
WHERE t.tgrelid OPERATOR(pg_catalog.=) {oid}::pg_catalog.oid
    AND t.tgname::pg_catalog.text OPERATOR(pg_catalog.~) '^zz_bitryoshka_narrow_[0-9]+$'
    AND f.proname::pg_catalog.text OPERATOR(pg_catalog.~)
        '^bitryoshka_fill_[0-9]+_[0-9a-f]+$'

-- name: narrow_unlocked
SELECT pg_catalog.count(*)
FROM (
    SELECT FROM ONLY {table} AS t
    WHERE t.{vector} IS NOT NULL AND {t_has_code} AND NOT EXISTS (
        SELECT FROM {codes} AS n WHERE {same} AND n.{code} IS NOT NULL)
    FOR NO KEY UPDATE SKIP LOCKED
) AS x

-- name: narrow_encoder_body
SELECT bitryoshka.column_encoder(k)
FROM bitryoshka.codecs AS k WHERE k.id OPERATOR(pg_catalog.=) {codec_id}

-- name: publications
SELECT bitryoshka.publications({table}::pg_catalog.regclass)

-- name: recheck_narrow
-- its codes may not be right, and all are looked at before it is ready
UPDATE bitryoshka.columns SET state = 'checking'
WHERE id OPERATOR(pg_catalog.=) {column_id}

-- name: rename_narrow_key
ALTER TABLE {codes} RENAME COLUMN {old} TO {new}

-- name: remove_orphans
DELETE FROM {codes} AS n
WHERE NOT EXISTS (SELECT FROM {table} AS t WHERE {same})

-- name: searched_codes
-- the tables of codes beside one, whose searches go by that name of their column
SELECT
    n.nspname::pg_catalog.text, r.relname::pg_catalog.text,
    pg_catalog.obj_description(f.oid, 'pg_constraint'), y.typname::pg_catalog.text, k.metric
FROM bitryoshka.columns AS c
JOIN bitryoshka.codecs AS k ON k.id OPERATOR(pg_catalog.=) c.codec_id
JOIN pg_catalog.pg_constraint AS f ON f.conrelid OPERATOR(pg_catalog.=) c.relation
    AND f.conname OPERATOR(pg_catalog.=) 'bitryoshka_narrow'
    AND f.contype OPERATOR(pg_catalog.=) 'f'
JOIN pg_catalog.pg_class AS r ON r.oid OPERATOR(pg_catalog.=) f.conrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) r.relnamespace
JOIN pg_catalog.pg_class AS u ON u.oid OPERATOR(pg_catalog.=) f.confrelid
    AND u.relowner OPERATOR(pg_catalog.=) r.relowner
LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid OPERATOR(pg_catalog.=) f.confrelid
    AND a.attname::pg_catalog.text
        OPERATOR(pg_catalog.=) pg_catalog.obj_description(f.oid, 'pg_constraint')
    AND NOT a.attisdropped
LEFT JOIN pg_catalog.pg_type AS y ON y.oid OPERATOR(pg_catalog.=) a.atttypid
WHERE c.vector_column IS NULL AND c.search_name::pg_catalog.text OPERATOR(pg_catalog.=) {code}
    AND f.confrelid OPERATOR(pg_catalog.=) {oid}::pg_catalog.oid
ORDER BY 1, 2

-- name: with_codes
(
    SELECT t.ctid, t.xmin, {columns_of_t}, n.{code}
    FROM (SELECT ctid, xmin, {columns} FROM {source} WHERE {within}) AS t
        LEFT JOIN (SELECT {keys}, {code} FROM {codes} WHERE {within}) AS n ON {same}
) AS bitryoshka_row
