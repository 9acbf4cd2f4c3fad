COMMENT ON FUNCTION bitryoshka.{function}() IS {text}
