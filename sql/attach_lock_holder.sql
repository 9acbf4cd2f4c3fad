SELECT pid
FROM pg_catalog.pg_locks
WHERE locktype OPERATOR(pg_catalog.=) 'advisory' AND granted AND objsubid OPERATOR(pg_catalog.=) 1
    AND ((classid::bigint OPERATOR(pg_catalog.<<) 32) OPERATOR(pg_catalog.|) objid::bigint)
        OPERATOR(pg_catalog.=) pg_catalog.hashtextextended('bitryoshka ' OPERATOR(pg_catalog.||) {oid}::pg_catalog.text, 0)
