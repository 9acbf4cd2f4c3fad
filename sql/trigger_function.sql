CREATE OR REPLACE FUNCTION bitryoshka.{function}() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, {pgvector}, pg_temp
AS $body$
BEGIN
    NEW.{code} := CASE WHEN {has_code} THEN bitryoshka.{encoder}(NEW.{vector}{cast}) END;
    RETURN NEW;
END
$body$
