CREATE OR REPLACE FUNCTION bitryoshka.{function}() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, {pgvector}, pg_temp
AS $body$
BEGIN
    -- compared here, not in the trigger's WHEN: a dump could not restore an operator of pgvector there
    IF TG_OP = 'UPDATE' THEN
        IF OLD.{vector} IS NOT DISTINCT FROM NEW.{vector} AND (
            OLD.{code} IS NOT DISTINCT FROM NEW.{code}
            -- the backfill writes codes that it has made already
            OR current_setting('bitryoshka.backfill', true) = 'on'
        ) THEN
            RETURN NEW;
        END IF;
    END IF;
    NEW.{code} := CASE WHEN {has_code} THEN bitryoshka.{encoder}(NEW.{vector}{cast}) END;
    RETURN NEW;
END
$body$
