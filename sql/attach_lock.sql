SELECT pg_catalog.pg_try_advisory_lock(pg_catalog.hashtextextended('bitryoshka '
    OPERATOR(pg_catalog.||) {oid}::pg_catalog.text, {number}))
