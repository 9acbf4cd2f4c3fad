SELECT
    l.pid,
    pg_catalog.concat_ws(', ',
        'role ' OPERATOR(pg_catalog.||) a.usename,
        CASE WHEN a.backend_type OPERATOR(pg_catalog.<>) 'client backend' THEN a.backend_type END,
        a.state OPERATOR(pg_catalog.||) ' for ' OPERATOR(pg_catalog.||) extract(epoch
            FROM pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) a.xact_start)::integer
            OPERATOR(pg_catalog.||) ' s')
FROM pg_catalog.pg_locks AS l
    LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid OPERATOR(pg_catalog.=) l.pid
WHERE l.locktype OPERATOR(pg_catalog.=) 'relation' AND l.granted
    AND (l.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid()) IS NOT TRUE
    AND l.database OPERATOR(pg_catalog.=) (SELECT d.oid
        FROM pg_catalog.pg_database AS d
        WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database())
    AND l.relation OPERATOR(pg_catalog.=) ANY (
        SELECT {oid}::pg_catalog.oid UNION ALL SELECT t.relid
            FROM pg_catalog.pg_partition_tree({oid}::pg_catalog.oid::pg_catalog.regclass) AS t)
    AND l.mode OPERATOR(pg_catalog.~) {modes}
GROUP BY l.pid, a.usename, a.backend_type, a.state, a.xact_start
ORDER BY a.xact_start
LIMIT 3
