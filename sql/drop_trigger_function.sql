DROP TRIGGER IF EXISTS {trigger} ON {table};
DROP FUNCTION IF EXISTS bitryoshka.{function}();
DROP FUNCTION IF EXISTS bitryoshka.{encoder}
