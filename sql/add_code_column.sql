ALTER TABLE {table} ADD COLUMN {code} bit({bits})
