SELECT pg_try_advisory_lock(hashtextextended('bitryoshka ' || {oid}::text, {number}))
