CREATE OR REPLACE FUNCTION bitryoshka.title(relation regclass) RETURNS text
LANGUAGE sql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT concat(quote_ident(n.nspname::text), '.', quote_ident(r.relname::text))
    FROM pg_class AS r JOIN pg_namespace AS n ON n.oid = r.relnamespace
    WHERE r.oid = relation
$$;
COMMENT ON FUNCTION bitryoshka.title(regclass) IS
'Schema and name of a table, quoted: the same table under every search_path.';

CREATE OR REPLACE FUNCTION bitryoshka.vector_type(
    relation regclass, vector_column name, OUT kind text, OUT dimensions integer
)
LANGUAGE sql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT y.typname::text, a.atttypmod
    FROM pg_attribute AS a
    JOIN pg_type AS y ON y.oid = a.atttypid
    JOIN pg_extension AS e ON e.extnamespace = y.typnamespace AND e.extname = 'vector'
    WHERE a.attrelid = relation AND a.attname = vector_column AND a.attnum > 0
        AND y.typname IN ('vector', 'halfvec')
$$;
COMMENT ON FUNCTION bitryoshka.vector_type(regclass, name) IS
'Type of a column, vector or halfvec, and its dimensions or -1; NULL where it is of no such type of
pgvector''s.';
