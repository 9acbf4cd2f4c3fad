DELETE FROM bitryoshka.backfill WHERE column_id OPERATOR(pg_catalog.=) {column_id}
    AND relation OPERATOR(pg_catalog.=) {oid}::pg_catalog.oid
