SELECT
    l.pid,
    concat_ws(', ',
        'role ' || a.usename,
        CASE WHEN a.backend_type <> 'client backend' THEN a.backend_type END,
        a.state || ' for ' || extract(epoch FROM clock_timestamp() - a.xact_start)::integer || ' s')
FROM pg_locks AS l LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
WHERE l.locktype = 'relation' AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid()
    AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
    AND l.relation IN (
        SELECT {oid}::oid UNION ALL SELECT t.relid FROM pg_partition_tree({oid}::oid::regclass) AS t)
    AND l.mode ~ {modes}
GROUP BY l.pid, a.usename, a.backend_type, a.state, a.xact_start
ORDER BY a.xact_start
LIMIT 3
