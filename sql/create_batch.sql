CREATE TEMPORARY TABLE bitryoshka_batch (place tid, version xid, code bit({bits}))
ON COMMIT DELETE ROWS
