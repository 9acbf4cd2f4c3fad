SELECT {texts}
FROM (SELECT {keys} FROM ONLY {table} WHERE {within} ORDER BY {keys} OFFSET {skip} LIMIT 1) AS last
