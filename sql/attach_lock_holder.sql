-- whoever can connect can hold an advisory lock, but only who owns the table may be changing it
SELECT l.pid, coalesce(a.usename::pg_catalog.text, 'unknown'), pg_catalog.pg_has_role(a.usesysid,
    r.relowner, 'MEMBER')
FROM pg_catalog.pg_locks AS l
JOIN pg_catalog.pg_stat_activity AS a ON a.pid OPERATOR(pg_catalog.=) l.pid
JOIN pg_catalog.pg_class AS r ON r.oid OPERATOR(pg_catalog.=) {oid}::pg_catalog.oid
WHERE l.locktype OPERATOR(pg_catalog.=) 'advisory' AND l.granted
    AND l.objsubid OPERATOR(pg_catalog.=) 1
    AND l.database OPERATOR(pg_catalog.=) (SELECT d.oid
        FROM pg_catalog.pg_database AS d
        WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database())
    AND ((l.classid::bigint OPERATOR(pg_catalog.<<) 32) OPERATOR(pg_catalog.|) l.objid::bigint)
        OPERATOR(pg_catalog.=) pg_catalog.hashtextextended('bitryoshka '
            OPERATOR(pg_catalog.||) {oid}::pg_catalog.text, {number})
