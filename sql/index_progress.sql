-- what an index build does, and whose transactions it waits for
SELECT
    p.phase,
    CASE WHEN p.tuples_total OPERATOR(pg_catalog.>) 0 THEN
        100 OPERATOR(pg_catalog.*) p.tuples_done OPERATOR(pg_catalog./) p.tuples_total END,
    ARRAY(
        SELECT pg_catalog.concat(
            'server process ', b.pid, ' (role ', a.usename, ', ', a.state, ', its transaction open for ',
            extract(epoch FROM pg_catalog.clock_timestamp()
                OPERATOR(pg_catalog.-) a.xact_start)::integer, ' s)')
        FROM pg_catalog.unnest(pg_catalog.pg_blocking_pids({pid}::integer)) AS b (pid)
        LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid OPERATOR(pg_catalog.=) b.pid
    )
FROM pg_catalog.pg_stat_progress_create_index AS p
WHERE p.pid OPERATOR(pg_catalog.=) {pid}::integer
