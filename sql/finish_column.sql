UPDATE bitryoshka.columns SET
    state = {state},
    prefix_bits = {prefix_bits},
    verified_at = pg_catalog.now(),
    verification = {verification}
WHERE id OPERATOR(pg_catalog.=) {column_id}
