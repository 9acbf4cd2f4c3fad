CREATE TEMPORARY TABLE bitryoshka_batch (place pg_catalog.tid, version pg_catalog.xid,
    code bit({bits}))
ON COMMIT DELETE ROWS
