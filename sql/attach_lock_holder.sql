SELECT pid
FROM pg_locks
WHERE locktype = 'advisory' AND granted AND objsubid = 1
    AND ((classid::bigint << 32) | objid::bigint)
        = hashtextextended('bitryoshka ' || {oid}::text, 0)
