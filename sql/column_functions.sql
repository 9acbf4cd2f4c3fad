SELECT
    en.nspname::pg_catalog.text,
    e.proname::pg_catalog.text,
    fo.rolname::pg_catalog.text,
    eo.rolname::pg_catalog.text,
    ro.rolname::pg_catalog.text,
    -- as this revision makes them, for pgvector and the table where they are now
    f.prosrc OPERATOR(pg_catalog.=) bitryoshka.fill_body(
        {column_id},
        pg_catalog.concat(
            pg_catalog.quote_ident(en.nspname::pg_catalog.text), '.',
            pg_catalog.quote_ident(e.proname::pg_catalog.text)))
    AND e.prosrc OPERATOR(pg_catalog.=) (
        SELECT bitryoshka.column_encoder(k)
        FROM bitryoshka.columns AS m
        JOIN bitryoshka.codecs AS k ON k.id OPERATOR(pg_catalog.=) m.codec_id
        WHERE m.id OPERATOR(pg_catalog.=) {column_id}
    )
    -- before each row of every INSERT and UPDATE, beside the table, and without settings of its own
    AND t.tgtype OPERATOR(pg_catalog.=) 23::smallint
    AND t.tgattr::pg_catalog.text OPERATOR(pg_catalog.=) '' AND t.tgqual IS NULL
    AND n.oid OPERATOR(pg_catalog.=) r.relnamespace AND en.oid OPERATOR(pg_catalog.=) n.oid
    AND NOT f.prosecdef AND NOT e.prosecdef
    AND f.proconfig OPERATOR(pg_catalog.=) ARRAY['search_path=pg_catalog, pg_temp']
    AND e.proconfig OPERATOR(pg_catalog.=)
        ARRAY['search_path=pg_catalog, pg_temp', 'plan_cache_mode=force_generic_plan'],
    -- on the table and on every partition of it
    NOT EXISTS (
        SELECT FROM pg_catalog.pg_class AS x
        WHERE (x.oid OPERATOR(pg_catalog.=) r.oid OR x.oid OPERATOR(pg_catalog.=) ANY (
                SELECT y.relid
                FROM pg_catalog.pg_partition_tree(r.oid::pg_catalog.regclass) AS y))
            AND NOT EXISTS (
                SELECT FROM pg_catalog.pg_trigger AS z
                WHERE z.tgrelid OPERATOR(pg_catalog.=) x.oid
                    AND z.tgfoid OPERATOR(pg_catalog.=) f.oid
                    AND (z.tgenabled OPERATOR(pg_catalog.=) 'O'
                        OR z.tgenabled OPERATOR(pg_catalog.=) 'A'))
    ),
    -- which writes the same column
    (
        SELECT pg_catalog.concat(z.tgrelid::pg_catalog.regclass::pg_catalog.text, ': ', z.tgname)
        FROM pg_catalog.pg_trigger AS z
        JOIN pg_catalog.pg_proc AS g ON g.oid OPERATOR(pg_catalog.=) z.tgfoid
        WHERE z.tgrelid OPERATOR(pg_catalog.=) ANY (
                SELECT y.relid
                FROM pg_catalog.pg_partition_tree(r.oid::pg_catalog.regclass) AS y)
            AND z.tgparentid OPERATOR(pg_catalog.=) 0::pg_catalog.oid
            AND z.tgrelid OPERATOR(pg_catalog.<>) r.oid
            AND z.tgname::pg_catalog.text OPERATOR(pg_catalog.~) '^zz_bitryoshka_[0-9]+$'
            AND pg_catalog.strpos(g.prosrc, pg_catalog.concat(
                'NEW.', pg_catalog.quote_ident({code}), ' := ')) OPERATOR(pg_catalog.>) 0
        LIMIT 1
    )
FROM bitryoshka.column_functions({column_id}) AS c
JOIN pg_catalog.pg_proc AS f ON f.oid OPERATOR(pg_catalog.=) c.fill
JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) f.pronamespace
JOIN pg_catalog.pg_roles AS fo ON fo.oid OPERATOR(pg_catalog.=) f.proowner
LEFT JOIN pg_catalog.pg_proc AS e ON e.oid OPERATOR(pg_catalog.=) c.encoder
LEFT JOIN pg_catalog.pg_namespace AS en ON en.oid OPERATOR(pg_catalog.=) e.pronamespace
LEFT JOIN pg_catalog.pg_roles AS eo ON eo.oid OPERATOR(pg_catalog.=) e.proowner
JOIN pg_catalog.pg_class AS r ON r.oid OPERATOR(pg_catalog.=) {oid}::pg_catalog.oid
JOIN pg_catalog.pg_roles AS ro ON ro.oid OPERATOR(pg_catalog.=) r.relowner
JOIN pg_catalog.pg_trigger AS t
    ON t.tgrelid OPERATOR(pg_catalog.=) r.oid AND t.tgfoid OPERATOR(pg_catalog.=) f.oid
