-- with the schema of the operators by which the key's index orders each column
SELECT
    a.attname::pg_catalog.text,
    pg_catalog.format_type(a.atttypid, a.atttypmod),
    (
        SELECT n.nspname::pg_catalog.text
        FROM pg_catalog.pg_opclass AS c
        JOIN pg_catalog.pg_amop AS m ON m.amopfamily OPERATOR(pg_catalog.=) c.opcfamily
        JOIN pg_catalog.pg_operator AS o ON o.oid OPERATOR(pg_catalog.=) m.amopopr
        JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) o.oprnamespace
        WHERE c.oid OPERATOR(pg_catalog.=) i.indclass[k.place::integer OPERATOR(pg_catalog.-) 1]
            AND m.amoplefttype OPERATOR(pg_catalog.=) c.opcintype
            AND m.amoprighttype OPERATOR(pg_catalog.=) c.opcintype
            AND o.oprname OPERATOR(pg_catalog.=) '>'
        LIMIT 1
    )
FROM pg_catalog.pg_index AS i
CROSS JOIN LATERAL
    pg_catalog.unnest(i.indkey::smallint[]) WITH ORDINALITY AS k (number, place)
JOIN pg_catalog.pg_attribute AS a
    ON a.attrelid OPERATOR(pg_catalog.=) i.indrelid AND a.attnum OPERATOR(pg_catalog.=) k.number
WHERE i.indrelid OPERATOR(pg_catalog.=) {oid}::pg_catalog.oid AND i.indisprimary
    -- columns that the index includes are no part of the key
    AND k.place OPERATOR(pg_catalog.<=) i.indnkeyatts
ORDER BY k.place
