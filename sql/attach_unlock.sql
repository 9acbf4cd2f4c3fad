SELECT pg_catalog.pg_advisory_unlock(pg_catalog.hashtextextended('bitryoshka '
    OPERATOR(pg_catalog.||) {oid}::pg_catalog.text, {number}))
