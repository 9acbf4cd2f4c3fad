SELECT EXISTS (SELECT FROM {table} WHERE {vector} IS NOT NULL AND {has_code} AND {code} IS NULL)
