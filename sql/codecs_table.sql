-- the catalogue; what the newest revision has; whether functions look for pgvector where it is
SELECT
    pg_catalog.to_regclass('bitryoshka.codecs')::pg_catalog.text,
    pg_catalog.to_regprocedure(
        'bitryoshka.codec_of(pg_catalog.text, pg_catalog.text)'
    )::pg_catalog.text,
    (
        SELECT pg_catalog.strpos(
            p.prosrc,
            pg_catalog.concat(pg_catalog.quote_ident(v.nspname::pg_catalog.text), '.vector_dims('))
            OPERATOR(pg_catalog.>) 0
        FROM pg_catalog.pg_proc AS p
        JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) p.pronamespace
        CROSS JOIN pg_catalog.pg_extension AS e
        JOIN pg_catalog.pg_namespace AS v ON v.oid OPERATOR(pg_catalog.=) e.extnamespace
        WHERE n.nspname OPERATOR(pg_catalog.=) 'bitryoshka'
            AND p.proname OPERATOR(pg_catalog.=) 'check_vector'
            AND e.extname OPERATOR(pg_catalog.=) 'vector'
    )
