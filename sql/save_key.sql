INSERT INTO bitryoshka.backfill AS b (column_id, relation, last_key, rows)
VALUES ({column_id}, {oid}::pg_catalog.oid, {key}, {rows})
ON CONFLICT (column_id, relation)
DO UPDATE SET last_key = excluded.last_key, rows = b.rows OPERATOR(pg_catalog.+) excluded.rows
