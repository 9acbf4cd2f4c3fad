SELECT pg_advisory_xact_lock(hashtext('bitryoshka'), 1)::text
