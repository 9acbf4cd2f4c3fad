-- Encoding the rows of a table in batches, counting them, and encoding wrong ones anew.

-- name: apply_batch
-- A row that somebody else is changing is left for a later pass: waiting for it could deadlock.
-- Place and version name the very row that was read; a changed one has its code from the trigger.
WITH locked AS MATERIALIZED (
    SELECT t.ctid AS place, b.code
    FROM pg_temp.bitryoshka_batch AS b
        JOIN ONLY {table} AS t ON t.ctid OPERATOR(pg_catalog.=) b.place
    WHERE t.xmin OPERATOR(pg_catalog.=) b.version AND {due}
    FOR NO KEY UPDATE OF t SKIP LOCKED
)
UPDATE ONLY {table} AS t SET {code} = l.code
    FROM locked AS l WHERE t.ctid OPERATOR(pg_catalog.=) l.place

-- name: bad_rows
SELECT {keys} FROM {table} WHERE {vector} IS NOT NULL AND NOT ({has_code}) LIMIT {limit}

-- name: batch_end
SELECT {texts}
FROM (SELECT {keys} FROM ONLY {table} WHERE {within} ORDER BY {keys} OFFSET {skip} LIMIT 1) AS last

-- name: batch_in
COPY pg_temp.bitryoshka_batch (place, version, code) FROM STDIN (FORMAT binary)

-- name: batch_out
COPY (
    SELECT ctid, xmin, {vector} FROM {source}
    WHERE {within} AND {code} IS NULL AND {vector} IS NOT NULL AND {has_code}
) TO STDOUT (FORMAT binary)

-- name: batch_settings
SELECT pg_catalog.set_config('bitryoshka.backfill', 'on', true)

-- name: clear_batch
-- codes of rows whose vector is gone, or has none
UPDATE ONLY {table} SET {code} = NULL
WHERE {within} AND {code} IS NOT NULL AND ({vector} IS NULL OR NOT ({has_code}))

-- name: codes_out
COPY (
    SELECT {vector}, {code} FROM {source}
    WHERE {within} AND {vector} IS NOT NULL AND {has_code} AND {code} IS NOT NULL
) TO STDOUT (FORMAT binary)

-- name: count_rows
SELECT
    pg_catalog.count(*),
    pg_catalog.count(*) FILTER (WHERE {vector} IS NULL),
    pg_catalog.count(*) FILTER (WHERE {vector} IS NOT NULL AND NOT ({has_code})),
    pg_catalog.count(*) FILTER (WHERE {vector} IS NOT NULL AND {has_code} AND {code} IS NULL),
    pg_catalog.count(*) FILTER (
        WHERE {code} IS NOT NULL AND ({vector} IS NOT NULL AND {has_code}) IS NOT TRUE)
FROM {table}

-- name: create_batch
CREATE TEMPORARY TABLE bitryoshka_batch (place pg_catalog.tid, version pg_catalog.xid,
    code bit({bits}))
ON COMMIT DELETE ROWS

-- name: drop_batch
DROP TABLE IF EXISTS pg_temp.bitryoshka_batch

-- name: encode_batch
WITH locked AS MATERIALIZED (
    SELECT ctid AS place FROM ONLY {table}
    WHERE {within} AND {code} IS NULL AND {vector} IS NOT NULL AND {has_code}
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE ONLY {table} AS t SET {code} = {encoder}(t.{vector}::{pgvector}.vector)
FROM locked AS l WHERE t.ctid OPERATOR(pg_catalog.=) l.place

-- name: encode_one
SELECT bitryoshka.encode({codec}, {vector}::{pgvector}.vector)::pg_catalog.text

-- name: fill_code_column
SELECT bitryoshka.fill_code_column({table}::pg_catalog.regclass, {code})

-- name: forget_keys
DELETE FROM bitryoshka.backfill WHERE column_id OPERATOR(pg_catalog.=) {column_id}
    AND relation OPERATOR(pg_catalog.=) {oid}::pg_catalog.oid

-- name: has_dimensions
{pgvector}.vector_dims({vector}) OPERATOR(pg_catalog.=) {dimensions}

-- name: has_length
{pgvector}.vector_norm({vector}::{pgvector}.vector) OPERATOR(pg_catalog.>) 0

-- name: has_missing
SELECT EXISTS (SELECT FROM {table} WHERE {vector} IS NOT NULL AND {has_code} AND {code} IS NULL)

-- name: key_settings
-- a key as text is the same key for whoever reads it, under any settings
SELECT
    pg_catalog.set_config('extra_float_digits', '3', true),
    pg_catalog.set_config('datestyle', 'ISO', true),
    pg_catalog.set_config('intervalstyle', 'iso_8601', true)

-- name: last_key
SELECT last_key FROM bitryoshka.backfill WHERE column_id OPERATOR(pg_catalog.=) {column_id}
    AND relation OPERATOR(pg_catalog.=) {oid}::pg_catalog.oid

-- name: recall
WITH nearest AS MATERIALIZED (
    SELECT ROW({keys})::pg_catalog.text AS key FROM {table}
    WHERE {vector} IS NOT NULL AND {has_code}
    -- the sum keeps an index on the vectors, which may miss some, out of the plan
    ORDER BY ({vector} OPERATOR({pgvector}.{operator}) {query}::{pgvector}.{vector_type})
        OPERATOR(pg_catalog.+) 0
    LIMIT {k}
),
found AS MATERIALIZED (
    SELECT ROW({item_keys})::pg_catalog.text AS key
    FROM bitryoshka.search(
        NULL::{searched}, {query}::{pgvector}.vector, k => {k}, code_column => {code_column}) AS s
)
SELECT CASE WHEN pg_catalog.count(*)
    OPERATOR(pg_catalog.>) 0 THEN pg_catalog.count(f.key)::double precision
    OPERATOR(pg_catalog./) pg_catalog.count(*) ELSE 1 END
FROM nearest AS n LEFT JOIN found AS f ON f.key OPERATOR(pg_catalog.=) n.key

-- name: repair_code_column
SELECT bitryoshka.repair_code_column({table}::pg_catalog.regclass, {code})

-- name: repair_out
COPY (
    SELECT
        ctid, xmin, {vector}, coalesce({code}, {zeros}::bit({bits})),
        ({code} IS NULL)::integer
    FROM {source}
    WHERE {within} AND {vector} IS NOT NULL AND {has_code}
) TO STDOUT (FORMAT binary)

-- name: sample_vectors
COPY (
    SELECT {vector} FROM {table} TABLESAMPLE BERNOULLI ({percent}) REPEATABLE ({seed})
    WHERE {vector} IS NOT NULL
    LIMIT {limit}
) TO STDOUT (FORMAT binary)

-- name: save_key
INSERT INTO bitryoshka.backfill AS b (column_id, relation, last_key, rows)
VALUES ({column_id}, {oid}::pg_catalog.oid, {key}, {rows})
ON CONFLICT (column_id, relation)
DO UPDATE SET last_key = excluded.last_key, rows = b.rows OPERATOR(pg_catalog.+) excluded.rows

-- name: unlocked_rows
SELECT pg_catalog.count(*)
FROM (
    SELECT FROM ONLY {table} WHERE {code} IS NULL AND {vector} IS NOT NULL AND {has_code}
    FOR NO KEY UPDATE SKIP LOCKED
) AS x

-- name: vector_counts
SELECT pg_catalog.count({vector}), coalesce(pg_catalog.max({pgvector}.vector_dims({vector})), 0)
    FROM {table}
