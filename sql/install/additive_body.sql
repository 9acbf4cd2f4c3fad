-- The loss as a bit sees it is its row's product with the residual: against holds these products,
-- negated, and moves by a row of table gram where a bit turns. products are those of the decoder's
-- rows with the vector, and along those of the vector with the residual of each length, both times
-- the root of score_weight. The next bit to turn is found for all bits at once; where the next one
-- is not set yet (a sign of 0), it turns, one way or the other.
CREATE OR REPLACE FUNCTION bitryoshka.additive_body() RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $function$
SELECT $body$
DECLARE
    lengths integer[] := bitryoshka.codec_factors({codec}, 'length')::integer[];
    length_weights double precision[] := bitryoshka.codec_factors({codec}, 'weight');
    settings double precision[] := bitryoshka.codec_factors({codec}, 'setting');
    centres {pgvector}.vector[] := bitryoshka.codec_rows({codec}, 'centre');
    unit {pgvector}.vector := (bitryoshka.codec_rows({codec}, 'unit'))[1];
    reach {pgvector}.vector := (bitryoshka.codec_rows({codec}, 'square'))[1];
    zero {pgvector}.vector := reach OPERATOR({pgvector}.-) reach;
    flips varbit := bitryoshka.codec_flips({codec});
    parts integer := array_length(lengths, 1);
    bits integer := lengths[parts];
    root double precision := sqrt(settings[1]);
    scored integer := CASE WHEN root > 0 THEN parts ELSE 0 END;
    -- what is smaller counts as 0: products of vectors refuse to round to it
    tiny double precision := 1e-15;
    start real[];
    linears double precision[];
    products double precision[];
    first integer := 0;
    begins integer[] := '{}';
    linear {pgvector}.vector;
    added {pgvector}.vector;
    score {pgvector}.vector;
    scores {pgvector}.vector[] := '{}';
    along double precision[] := '{}';
    signs {pgvector}.vector;
    against {pgvector}.vector;
    negative varbit;
    unset varbit;
    turning varbit;
    place integer := 0;
    sweep integer := 1;
    restart integer := 0;
    gradient {pgvector}.vector;
    same {pgvector}.vector;
    wanted varbit;
    pull double precision;
    pulled double precision[] := '{}';
    pulls {pgvector}.vector[] := '{}';
    step integer;
    cleared integer;
    turn integer;
    moved {pgvector}.vector;
    changed {pgvector}.vector;
    loss double precision;
    best_loss double precision;
    best_signs {pgvector}.vector;
    best_against {pgvector}.vector;
    best_along double precision[];
    best_negative varbit;
BEGIN
    SELECT array_agg(CASE WHEN (w
        OPERATOR({pgvector}.<#>) input) * scale > t THEN 1 ELSE -1 END::real) INTO start
    FROM {projection} AS x (w, t);
    SELECT array_agg(z * weight), array_agg(CASE WHEN abs(y) < tiny THEN 0 ELSE y END)
    INTO linears, products
    FROM (
        SELECT z, weight, z * (root * sqrt(weight)) AS y
        FROM (
            SELECT (d OPERATOR({pgvector}.<#>) input) * scale AS z, weight
                FROM {decoder} AS x (d, weight) OFFSET 0
        ) AS x
        OFFSET 0
    ) AS x;
    IF start IS NULL OR products IS NULL THEN
        PERFORM bitryoshka.refuse_incomplete({codec});
    END IF;
    signs := start::{pgvector}.vector;
    unset := repeat('0', cardinality(start))::varbit;
    IF cardinality(start) < bits THEN
        signs := signs
            OPERATOR({pgvector}.||) {pgvector}.subvector(zero, 1, bits - cardinality(start));
        unset := unset || repeat('1', bits - cardinality(start))::varbit;
    END IF;
    negative := {pgvector}.binary_quantize(zero OPERATOR({pgvector}.-) signs);
    linear := zero OPERATOR({pgvector}.-) (bitryoshka.codec_rows({codec}, 'shift'))[1];
    FOR part IN 1..parts LOOP
        added := {pgvector}.subvector(linears::{pgvector}.vector, first + 1, lengths[part]);
        score := {pgvector}.subvector(products::{pgvector}.vector, first + 1, lengths[part]);
        IF part < parts THEN
            added := added
                OPERATOR({pgvector}.||) {pgvector}.subvector(zero, 1, bits - lengths[part]);
            score := score
                OPERATOR({pgvector}.||) {pgvector}.subvector(zero, 1, bits - lengths[part]);
        END IF;
        linear := linear OPERATOR({pgvector}.+) added;
        scores := scores || score;
        reach := reach OPERATOR({pgvector}.+) (score OPERATOR({pgvector}.*) score);
        along := along || (
            (power({pgvector}.vector_norm(input) * scale, 2) - (centres[part]
                OPERATOR({pgvector}.<#>) input) * scale)
            * root * sqrt(length_weights[part]) + (signs OPERATOR({pgvector}.<#>) score));
        begins := begins || first;
        first := first + lengths[part];
    END LOOP;
    against := (SELECT array_agg(g OPERATOR({pgvector}.<#>) signs)
        FROM {gram} AS x (g))::{pgvector}.vector;
    against := zero OPERATOR({pgvector}.-) against OPERATOR({pgvector}.-) linear;
    LOOP
        IF place < bits AND get_bit(unset, place) = 1 THEN
            step := 1;
            pull := -(against
                OPERATOR({pgvector}.<#>) {pgvector}.subvector(unit, bits - place, bits));
            FOR part IN 1..scored LOOP
                IF place < lengths[part] THEN
                    pull := pull - along[part] * products[begins[part] + place + 1];
                END IF;
            END LOOP;
            cleared := CASE WHEN pull > 0 THEN 1 ELSE 0 END;
        ELSIF turning IS NOT NULL THEN
            step := position(B'1' IN substring(turning FROM place + 1));
            IF step > 0 THEN
                cleared := 1 - get_bit(negative, place + step - 1);
            END IF;
        ELSE
            gradient := against OPERATOR({pgvector}.-) (signs OPERATOR({pgvector}.*) reach);
            FOR part IN 1..scored LOOP
                IF along[part] IS DISTINCT FROM pulled[part] THEN
                    pulled[part] := along[part];
                    IF abs(along[part]) < tiny THEN
                        pulls[part] := zero;
                    ELSE
                        same := array_fill(along[part]::real, ARRAY[32])::{pgvector}.vector;
                        WHILE {pgvector}.vector_dims(same) < bits LOOP
                            same := same OPERATOR({pgvector}.||) same OPERATOR({pgvector}.||) same
                                OPERATOR({pgvector}.||) same;
                        END LOOP;
                        pulls[part] := scores[part]
                            OPERATOR({pgvector}.*) {pgvector}.subvector(same, 1, bits);
                    END IF;
                END IF;
                gradient := gradient OPERATOR({pgvector}.-) pulls[part];
            END LOOP;
            wanted := {pgvector}.binary_quantize(gradient);
            step := position(B'1' IN substring((wanted # negative) | unset FROM place + 1));
            IF step > 0 THEN
                cleared := get_bit(wanted, place + step - 1);
            END IF;
        END IF;
        IF step > 0 THEN
            place := place + step;
            moved := {gram row};
            changed := {pgvector}.subvector(unit, bits - place + 1, bits);
            turn := 1;
            IF get_bit(unset, place - 1) = 0 THEN
                moved := moved OPERATOR({pgvector}.+) moved;
                changed := changed OPERATOR({pgvector}.+) changed;
                turn := 2;
            END IF;
            IF cleared = 0 THEN
                against := against OPERATOR({pgvector}.+) moved;
                signs := signs OPERATOR({pgvector}.+) changed;
            ELSE
                against := against OPERATOR({pgvector}.-) moved;
                signs := signs OPERATOR({pgvector}.-) changed;
                turn := -turn;
            END IF;
            negative := set_bit(negative, place - 1, cleared);
            unset := set_bit(unset, place - 1, 0);
            FOR part IN 1..scored LOOP
                IF place <= lengths[part] THEN
                    along[part] := along[part] - turn * products[begins[part] + place];
                END IF;
            END LOOP;
        ELSIF turning IS NOT NULL THEN
            turning := NULL;
            place := 0;
            sweep := 1;
        ELSIF place > 0 AND sweep < settings[2] THEN
            place := 0;
            sweep := sweep + 1;
        ELSE
            EXIT WHEN length(flips) = 0;
            loss := (signs OPERATOR({pgvector}.<#>) (linear OPERATOR({pgvector}.-) against));
            FOR part IN 1..scored LOOP
                loss := loss + along[part] * along[part];
            END LOOP;
            IF restart = 0 OR loss < best_loss - 1e-6 THEN
                best_loss := loss;
                best_signs := signs;
                best_against := against;
                best_along := along;
                best_negative := negative;
            ELSE
                signs := best_signs;
                against := best_against;
                along := best_along;
                negative := best_negative;
            END IF;
            EXIT WHEN restart * bits = length(flips);
            turning := substring(flips FROM restart * bits + 1 FOR bits);
            restart := restart + 1;
            place := 0;
        END IF;
    END LOOP;
    RETURN substring(~ negative FROM 1 FOR settings[3]::integer);
END;
$body$
$function$;
COMMENT ON FUNCTION bitryoshka.additive_body() IS
'Text of the functions that encode by an additive codec, for a vector, input, and a number, scale,
-1 / its length: the same search in every one of them.';
