SELECT id
FROM {table}
ORDER BY vector <=> {query}::vector({dimensions})
LIMIT {k}
