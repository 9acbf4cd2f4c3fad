SELECT pg_advisory_xact_lock(hashtext('bitryoshka'), 0)::text
