LOCK TABLE {table} IN {mode} MODE
