SELECT pg_catalog.set_config('bitryoshka.backfill', 'on', true)
