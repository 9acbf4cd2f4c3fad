CREATE OR REPLACE FUNCTION bitryoshka.{encoder}(input {pgvector}.vector) RETURNS bit
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE COST 20000
SET search_path = pg_catalog, {pgvector}, pg_temp
SET plan_cache_mode = force_generic_plan
AS $body$
DECLARE
    scale double precision := {scale};
    digits text;
    numbers integer[];
BEGIN
    IF scale IS NULL OR vector_dims(input) <> {dimensions} THEN
        PERFORM bitryoshka.find_codec({codec}, input);
    END IF;
{body}
END
$body$
