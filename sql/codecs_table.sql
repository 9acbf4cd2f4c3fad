SELECT
    pg_catalog.to_regclass('bitryoshka.codecs')::pg_catalog.text,
    pg_catalog.to_regprocedure(
        'bitryoshka.switch_code_column(pg_catalog.regclass, pg_catalog.name, pg_catalog.name, pg_catalog.name)'
    )::pg_catalog.text
