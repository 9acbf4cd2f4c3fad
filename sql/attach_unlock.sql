SELECT pg_advisory_unlock(hashtextextended('bitryoshka ' || {oid}::text, {number}))
