SELECT
    pg_catalog.to_regclass('bitryoshka.codecs')::pg_catalog.text,
    pg_catalog.to_regprocedure('bitryoshka.switch_code_column(regclass,name,name,name)')::pg_catalog.text
