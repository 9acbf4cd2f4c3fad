-- Loads in chunks, each of which arrives once.

-- name: create_ledger
CREATE TABLE IF NOT EXISTS {ledger} (
    load pg_catalog.text,
    chunk pg_catalog.text,
    rows bigint NOT NULL,
    PRIMARY KEY (load, chunk)
)

-- name: enter_chunk
-- waits for a session that is loading the same chunk
INSERT INTO {ledger} (load, chunk, rows)
VALUES ({load}, {chunk}, {rows})
ON CONFLICT (load, chunk) DO NOTHING
RETURNING rows

-- name: loaded_chunks
SELECT chunk, rows FROM {ledger} WHERE load OPERATOR(pg_catalog.=) {load}
