SELECT id
FROM {table}
ORDER BY vector OPERATOR({pgvector}.<=>) {query}::{pgvector}.vector({dimensions})
LIMIT {k}
