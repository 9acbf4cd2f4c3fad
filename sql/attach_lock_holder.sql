-- whoever can connect can hold an advisory lock, but only who owns the table may be changing it
SELECT l.pid, coalesce(a.usename::text, 'unknown'), pg_has_role(a.usesysid, r.relowner, 'MEMBER')
FROM pg_locks AS l
JOIN pg_stat_activity AS a ON a.pid = l.pid
JOIN pg_class AS r ON r.oid = {oid}::oid
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
    AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
    AND ((l.classid::bigint << 32) | l.objid::bigint)
        = hashtextextended('bitryoshka ' || {oid}::text, {number})
