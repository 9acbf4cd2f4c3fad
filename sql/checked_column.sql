-- all rows were looked at, and have the right codes
UPDATE bitryoshka.columns SET state = 'ready'
WHERE id OPERATOR(pg_catalog.=) {column_id} AND state OPERATOR(pg_catalog.=) 'checking'
