-- Locks, time limits, and what a session waits for.

-- name: attach_lock
SELECT pg_catalog.pg_try_advisory_lock(pg_catalog.hashtextextended('bitryoshka '
    OPERATOR(pg_catalog.||) {oid}::pg_catalog.text, {number}))

-- name: attach_lock_holder
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

-- name: attach_unlock
SELECT pg_catalog.pg_advisory_unlock(pg_catalog.hashtextextended('bitryoshka '
    OPERATOR(pg_catalog.||) {oid}::pg_catalog.text, {number}))

-- name: get_check_interval
SELECT pg_catalog.current_setting('client_connection_check_interval')

-- name: lock_holders
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

-- name: lock_table
LOCK TABLE {table} IN {mode} MODE

-- name: lock_timeout
SELECT pg_catalog.set_config('lock_timeout', '100ms', true)

-- name: maintenance_timeout
-- an autovacuum in the way ends once somebody has waited for it as long as deadlock_timeout
SELECT pg_catalog.set_config('lock_timeout', (2
    OPERATOR(pg_catalog.*) setting::integer)::pg_catalog.text, true)
FROM pg_catalog.pg_settings WHERE name OPERATOR(pg_catalog.=) 'deadlock_timeout'

-- name: process_id
SELECT pg_catalog.pg_backend_pid()

-- name: set_check_interval
SELECT pg_catalog.set_config('client_connection_check_interval', {interval}, false)

-- name: time_limits
SELECT pg_catalog.current_setting('statement_timeout'), pg_catalog.current_setting('lock_timeout')
