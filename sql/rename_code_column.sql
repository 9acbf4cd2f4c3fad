ALTER TABLE {table} RENAME COLUMN {code} TO {name}
