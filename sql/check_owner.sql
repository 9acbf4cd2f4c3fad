-- Whoever made the schema, or something in it, could have code of their own run by all who use it.
DO $check$
DECLARE
    owner pg_catalog.name;
    found pg_catalog.text;
BEGIN
    SELECT r.rolname INTO owner
    FROM pg_catalog.pg_namespace AS n
    JOIN pg_catalog.pg_roles AS r ON r.oid OPERATOR(pg_catalog.=) n.nspowner
    WHERE n.nspname OPERATOR(pg_catalog.=) 'bitryoshka'::pg_catalog.name;
    IF owner OPERATOR(pg_catalog.<>) current_user THEN
        RAISE EXCEPTION USING
            ERRCODE = 'insufficient_privilege',
            MESSAGE = pg_catalog.concat(
                'schema bitryoshka belongs to role '::pg_catalog.text, owner::pg_catalog.text,
                ', found role '::pg_catalog.text, current_user::pg_catalog.text),
            HINT = 'Do this as that role; if it should not have the schema, drop it first.';
    END IF;
    SELECT pg_catalog.string_agg(
        pg_catalog.concat(f.title, ' of '::pg_catalog.text, f.owner), ', '::pg_catalog.text)
    INTO found
    FROM (
{foreign}
    ) AS f;
    IF found IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'insufficient_privilege',
            MESSAGE = pg_catalog.concat(
                'all in schema bitryoshka must belong to its owner, found '::pg_catalog.text, found),
            HINT = 'Drop it, or ALTER ... OWNER TO; and revoke CREATE on the schema from everybody.';
    END IF;
END
$check$
