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
            HINT = 'Do this as that role, by SET ROLE; or give it to yours by REASSIGN OWNED.';
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
                'all in schema bitryoshka must belong to its owner, found '::pg_catalog.text,
                    found),
            HINT = 'Drop it, or ALTER ... OWNER TO.';
    END IF;
    FOR found IN
        SELECT CASE WHEN a.grantee OPERATOR(pg_catalog.=) 0::pg_catalog.oid THEN 'PUBLIC'
            ELSE a.grantee::pg_catalog.regrole::pg_catalog.text END
        FROM pg_catalog.pg_namespace AS n CROSS JOIN LATERAL pg_catalog.aclexplode(n.nspacl) AS a
        WHERE n.nspname OPERATOR(pg_catalog.=) 'bitryoshka'::pg_catalog.name
            AND a.privilege_type OPERATOR(pg_catalog.=) 'CREATE'::pg_catalog.text
            AND a.grantee OPERATOR(pg_catalog.<>) n.nspowner
    LOOP
        EXECUTE pg_catalog.concat('REVOKE CREATE ON SCHEMA bitryoshka FROM '::pg_catalog.text,
            found, ' CASCADE'::pg_catalog.text);
    END LOOP;
END
$check$
