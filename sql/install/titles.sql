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

CREATE OR REPLACE FUNCTION bitryoshka.relation_of(row_type regtype) RETURNS regclass
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found oid := (SELECT t.typrelid FROM pg_type AS t WHERE t.oid = row_type);
BEGIN
    IF coalesce(found, 0::oid) = 0::oid THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = concat('expected NULL of the type of a table''s rows, such as ',
                'NULL::public.docs, found ', row_type::text);
    END IF;
    RETURN found;
END
$$;
COMMENT ON FUNCTION bitryoshka.relation_of(regtype) IS 'The table whose rows are of a type.';
