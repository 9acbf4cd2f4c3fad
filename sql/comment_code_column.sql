COMMENT ON COLUMN {table}.{code} IS {text}
