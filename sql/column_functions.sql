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
    ),
    (t.tgenabled OPERATOR(pg_catalog.=) 'O' OR t.tgenabled OPERATOR(pg_catalog.=) 'A')
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
