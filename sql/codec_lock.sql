SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtext('bitryoshka'), 1)::pg_catalog.text
