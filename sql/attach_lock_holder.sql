SELECT
    l.pid,
    concat(
        'role ', coalesce(a.usename, 'unknown'),
        CASE WHEN NOT pg_has_role(a.usesysid, r.relowner, 'USAGE')
            THEN ', who may not change the table' END)
FROM pg_locks AS l
LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
LEFT JOIN pg_class AS r ON r.oid = {oid}::oid
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
    AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
    AND ((l.classid::bigint << 32) | l.objid::bigint)
        = hashtextextended('bitryoshka ' || {oid}::text, 0)
