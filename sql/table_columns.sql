-- format_type names the schema of a type that the search_path does not find
SELECT
    a.attname::text,
    CASE WHEN y.typname IN ('vector', 'halfvec') AND a.atttypmod > 0
        THEN concat(y.typname, '(', a.atttypmod, ')')
        ELSE format_type(a.atttypid, a.atttypmod) END,
    col_description(a.attrelid, a.attnum)
FROM pg_attribute AS a JOIN pg_type AS y ON y.oid = a.atttypid
WHERE a.attrelid = to_regclass({table}) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
