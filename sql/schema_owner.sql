-- whoever owns the schema can have code of theirs run by all who use it: by a superuser, who has
-- most to lose, only a superuser's or the database owner's is used
SELECT
    o.rolname::pg_catalog.text,
    NOT m.rolsuper OR o.rolsuper OR o.oid OPERATOR(pg_catalog.=) d.datdba,
    o.oid OPERATOR(pg_catalog.=) m.oid
FROM pg_catalog.pg_namespace AS n
JOIN pg_catalog.pg_roles AS o ON o.oid OPERATOR(pg_catalog.=) n.nspowner
CROSS JOIN pg_catalog.pg_roles AS m
CROSS JOIN pg_catalog.pg_database AS d
WHERE n.nspname OPERATOR(pg_catalog.=) 'bitryoshka'
    AND m.rolname OPERATOR(pg_catalog.=) current_user
    AND d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()
