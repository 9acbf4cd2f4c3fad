COMMENT ON COLUMN {table}.code IS {codec}
