DELETE FROM bitryoshka.backfill WHERE column_id = {column_id} AND relation = {oid}::oid
