CREATE TRIGGER {on_insert} BEFORE INSERT ON {table}
FOR EACH ROW EXECUTE FUNCTION bitryoshka.{function}();
-- the backfill writes codes that it has made already
CREATE TRIGGER {on_update} BEFORE UPDATE ON {table}
FOR EACH ROW WHEN (
    OLD.{vector} IS DISTINCT FROM NEW.{vector}
    OR (
        OLD.{code} IS DISTINCT FROM NEW.{code}
        AND current_setting('bitryoshka.backfill', true) IS DISTINCT FROM 'on'
    )
)
EXECUTE FUNCTION bitryoshka.{function}()
