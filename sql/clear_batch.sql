-- codes of rows whose vector is gone, or has none
UPDATE ONLY {table} SET {code} = NULL
WHERE {within} AND {code} IS NOT NULL AND ({vector} IS NULL OR NOT ({has_code}))
