UPDATE bitryoshka.columns SET
    state = {state},
    prefix_bits = {prefix_bits},
    verified_at = now(),
    verification = {verification}
WHERE id = {column_id}
