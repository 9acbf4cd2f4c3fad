-- an autovacuum in the way ends once somebody has waited for it as long as deadlock_timeout
SELECT pg_catalog.set_config('lock_timeout', (2
    OPERATOR(pg_catalog.*) setting::integer)::pg_catalog.text, true)
FROM pg_catalog.pg_settings WHERE name OPERATOR(pg_catalog.=) 'deadlock_timeout'
