SELECT bitryoshka.renew_column({column_id})
