-- an autovacuum in the way ends once somebody has waited for it as long as deadlock_timeout
SELECT set_config('lock_timeout', (2 * setting::integer)::text, true)
FROM pg_settings WHERE name = 'deadlock_timeout'
