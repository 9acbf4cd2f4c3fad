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
