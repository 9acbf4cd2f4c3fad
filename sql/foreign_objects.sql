-- What in schema bitryoshka does not belong to the schema's owner
SELECT o.title, r.rolname::pg_catalog.text AS owner, s.rolname::pg_catalog.text AS schema_owner
FROM pg_catalog.pg_namespace AS n
JOIN pg_catalog.pg_roles AS s ON s.oid OPERATOR(pg_catalog.=) n.nspowner
CROSS JOIN LATERAL (
    SELECT c.oid::pg_catalog.regclass::pg_catalog.text, c.relowner
    FROM pg_catalog.pg_class AS c WHERE c.relnamespace OPERATOR(pg_catalog.=) n.oid
    UNION ALL
    SELECT p.oid::pg_catalog.regprocedure::pg_catalog.text, p.proowner
    FROM pg_catalog.pg_proc AS p
    WHERE p.pronamespace OPERATOR(pg_catalog.=) n.oid
        -- of columns that were attached before their functions lay beside their tables
        AND p.proname::pg_catalog.text OPERATOR(pg_catalog.!~) '^(fill|encode)_column_[0-9]+$'
    UNION ALL
    SELECT p.oid::pg_catalog.regoperator::pg_catalog.text, p.oprowner
    FROM pg_catalog.pg_operator AS p WHERE p.oprnamespace OPERATOR(pg_catalog.=) n.oid
    UNION ALL
    SELECT t.oid::pg_catalog.regtype::pg_catalog.text, t.typowner
    FROM pg_catalog.pg_type AS t WHERE t.typnamespace OPERATOR(pg_catalog.=) n.oid
) AS o (title, owner)
JOIN pg_catalog.pg_roles AS r ON r.oid OPERATOR(pg_catalog.=) o.owner
WHERE n.nspname OPERATOR(pg_catalog.=) 'bitryoshka'::pg_catalog.name
    AND o.owner OPERATOR(pg_catalog.<>) n.nspowner
ORDER BY o.title
