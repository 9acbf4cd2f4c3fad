SELECT last_key FROM bitryoshka.backfill WHERE column_id = {column_id} AND relation = {oid}::oid
