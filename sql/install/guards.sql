CREATE OR REPLACE FUNCTION bitryoshka.refuse_change() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION USING
        ERRCODE = 'object_not_in_prerequisite_state',
        MESSAGE = concat('a codec never changes: ', TG_OP, ' on bitryoshka.', TG_TABLE_NAME),
        HINT = 'Register a new version of it.';
END
$$;
COMMENT ON FUNCTION bitryoshka.refuse_change() IS
'Trigger of the codec tables: stored codes would lose their meaning with the weights.';

CREATE OR REPLACE FUNCTION bitryoshka.is_owner(role oid) RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pg_has_role(current_user, role, 'USAGE')
        OR pg_has_role(current_user, n.nspowner, 'USAGE')
    FROM pg_namespace AS n WHERE n.nspname = 'bitryoshka'
$$;
COMMENT ON FUNCTION bitryoshka.is_owner(oid) IS
'Whether the current role has the rights of a role, or of the owner of schema bitryoshka.';

CREATE OR REPLACE FUNCTION bitryoshka.refuse_addition() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    now_at bigint := pg_current_xact_id()::text::bigint;
    label text;
BEGIN
    -- a dump brings a codec's rows after the codec, by the owner of the schema
    IF bitryoshka.is_owner(0) THEN
        RETURN NULL;
    END IF;
    -- a codec that this very transaction registers is in progress; xmin lacks the epoch
    SELECT k.label INTO label
    FROM bitryoshka.codecs AS k
    CROSS JOIN LATERAL (SELECT (now_at >> 32 << 32) + k.xmin::text::bigint AS made_at) AS x
    WHERE k.id IN (SELECT a.codec_id FROM added AS a)
        AND pg_xact_status(
            (made_at - CASE WHEN made_at > now_at + (1::bigint << 31) THEN 1::bigint << 32 ELSE 0 END)
            ::text::xid8) IS DISTINCT FROM 'in progress'
    LIMIT 1;
    IF label IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = concat('a codec never changes: ', TG_OP, ' on bitryoshka.', TG_TABLE_NAME,
                ' of ', label),
            HINT = 'Register a new version of it.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION bitryoshka.refuse_addition() IS
'Trigger of the codec tables: rows belong to a codec that the same transaction registers.';

CREATE OR REPLACE FUNCTION bitryoshka.refuse_removal() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    label text := (
        SELECT k.label FROM bitryoshka.codecs AS k
        WHERE k.id IN (SELECT r.codec_id FROM removed AS r)
        LIMIT 1);
BEGIN
    -- a codec that is dropped takes its rows along
    IF label IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = concat('a codec never changes: ', TG_OP, ' on bitryoshka.', TG_TABLE_NAME,
                ' of ', label),
            HINT = 'SELECT bitryoshka.drop_codec(...) forgets the whole of it.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION bitryoshka.refuse_removal() IS
'Trigger of the codec tables: the rows of a codec go with it, never alone.';

CREATE OR REPLACE FUNCTION bitryoshka.refuse_foreign_codec() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    role oid := (SELECT r.oid FROM pg_roles AS r WHERE r.rolname = OLD.registered_by);
BEGIN
    IF NOT bitryoshka.is_owner(coalesce(role, 0::oid)) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'insufficient_privilege',
            MESSAGE = concat('codec ', OLD.label, ' was registered by ', OLD.registered_by,
                ', found role ', current_user);
    END IF;
    RETURN OLD;
END
$$;
COMMENT ON FUNCTION bitryoshka.refuse_foreign_codec() IS
'Trigger of codecs: one is dropped by who registered it, or by the owner of the schema.';

CREATE OR REPLACE FUNCTION bitryoshka.refuse_foreign_table() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    relations oid[] := CASE TG_OP
        WHEN 'INSERT' THEN ARRAY[NEW.relation::oid]
        WHEN 'DELETE' THEN ARRAY[OLD.relation::oid]
        ELSE ARRAY[OLD.relation::oid, NEW.relation::oid]
    END || CASE WHEN TG_OP <> 'DELETE' AND TG_TABLE_NAME = 'backfill' THEN ARRAY(
        SELECT c.relation::oid FROM bitryoshka.columns AS c
        WHERE c.id = (to_jsonb(NEW)->>'column_id')::integer) END;
    found text := (
        SELECT r.oid::regclass::text FROM pg_class AS r
        WHERE r.oid = ANY (relations) AND NOT bitryoshka.is_owner(r.relowner)
        LIMIT 1);
BEGIN
    -- no entry is made for a table that somebody will have one day
    IF TG_OP <> 'DELETE' AND NOT bitryoshka.is_owner(0) AND NOT EXISTS (
        SELECT FROM pg_class AS r WHERE r.oid = NEW.relation
    ) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'insufficient_privilege',
            MESSAGE = concat('there is no table with oid ', NEW.relation::oid);
    END IF;
    IF found IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'insufficient_privilege',
            MESSAGE = concat('the code columns of ', found, ' are for its owner to change, found ',
                'role ', current_user);
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END
$$;
COMMENT ON FUNCTION bitryoshka.refuse_foreign_table() IS
'Trigger of columns and backfill: a table''s entries change with the rights of its owner.';

DO $$
DECLARE
    guarded text;
BEGIN
    FOREACH guarded IN ARRAY ARRAY[
        'codecs', 'weights', 'code_bits', 'cuts', 'additive', 'additive_lengths', 'decoder', 'gram']
    LOOP
        EXECUTE concat(
            'CREATE OR REPLACE TRIGGER refuse_change BEFORE UPDATE OR TRUNCATE ON bitryoshka.',
            guarded, ' EXECUTE FUNCTION bitryoshka.refuse_change()');
        CONTINUE WHEN guarded = 'codecs';
        EXECUTE concat(
            'CREATE OR REPLACE TRIGGER refuse_addition AFTER INSERT ON bitryoshka.', guarded,
            ' REFERENCING NEW TABLE AS added EXECUTE FUNCTION bitryoshka.refuse_addition()');
        EXECUTE concat(
            'CREATE OR REPLACE TRIGGER refuse_removal AFTER DELETE ON bitryoshka.', guarded,
            ' REFERENCING OLD TABLE AS removed EXECUTE FUNCTION bitryoshka.refuse_removal()');
    END LOOP;
    FOREACH guarded IN ARRAY ARRAY['columns', 'backfill'] LOOP
        EXECUTE concat(
            'CREATE OR REPLACE TRIGGER refuse_foreign_table BEFORE INSERT OR UPDATE OR DELETE ',
            'ON bitryoshka.', guarded,
            ' FOR EACH ROW EXECUTE FUNCTION bitryoshka.refuse_foreign_table()');
    END LOOP;
END
$$;
CREATE OR REPLACE FUNCTION bitryoshka.sign_codec() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- a dump brings codecs that others registered, by the owner of the schema
    IF NOT bitryoshka.is_owner(0) THEN
        NEW.registered_by := current_user;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION bitryoshka.sign_codec() IS
'Trigger of codecs: one is registered under the name of the role that does it.';
CREATE OR REPLACE TRIGGER sign_codec BEFORE INSERT ON bitryoshka.codecs
FOR EACH ROW EXECUTE FUNCTION bitryoshka.sign_codec();
CREATE OR REPLACE TRIGGER refuse_foreign_codec BEFORE DELETE ON bitryoshka.codecs
FOR EACH ROW EXECUTE FUNCTION bitryoshka.refuse_foreign_codec();

-- keys tell what a table holds: they are for those who may read it
DO $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_policy WHERE polrelid = 'bitryoshka.backfill'::regclass
    ) THEN
        ALTER TABLE bitryoshka.backfill ENABLE ROW LEVEL SECURITY;
        CREATE POLICY readers_of_the_table ON bitryoshka.backfill
        USING (has_table_privilege(relation, 'SELECT')) WITH CHECK (true);
    END IF;
END
$$;
