SELECT bitryoshka.create_encoder({codec})::text
