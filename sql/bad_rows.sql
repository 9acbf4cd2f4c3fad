SELECT {keys} FROM {table} WHERE {vector} IS NOT NULL AND NOT ({has_code}) LIMIT {limit}
