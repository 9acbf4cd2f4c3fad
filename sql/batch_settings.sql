SELECT set_config('bitryoshka.backfill', 'on', true)
