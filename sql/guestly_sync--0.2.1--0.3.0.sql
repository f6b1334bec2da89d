\echo Use "ALTER EXTENSION guestly_sync UPDATE" to load this file. \quit
-- From 0.2.1 to 0.3.0. Written by `BLESS=1 cargo test --package guestly_sync --test upgrade` from sql/schema and
-- sql/upgrade/0.2.1.sql: change those.

-- Other roles may have created operators in the extension's schema: from here on every name is in pg_catalog or qualified.
SET LOCAL search_path = pg_catalog, pg_temp;

-- A function that is not part of the extension could match a call better than the extension's own.
DO $$
DECLARE
    foreign_function text;
BEGIN
    SELECT pg_catalog.min(p.oid::pg_catalog.regprocedure::text) INTO foreign_function FROM pg_catalog.pg_proc p
    WHERE p.pronamespace = 'guestly'::pg_catalog.regnamespace AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_depend d
        WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid AND d.deptype = 'e');
    IF foreign_function IS NOT NULL THEN
        RAISE EXCEPTION 'function % is not part of guestly_sync, but could be called instead of one that is', foreign_function
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Find out who created it, then drop it.';
    END IF;
END $$;

-- What is gone, or made anew below.

DROP FUNCTION @extschema@.guestly_preview(bigint);
DROP FUNCTION @extschema@.guestly_preview(uuid);
DROP FUNCTION @extschema@.guestly_sync(bigint, boolean);
DROP FUNCTION @extschema@.guestly_sync(uuid, boolean);
DROP FUNCTION @extschema@.guestly_timeline(bigint);
DROP FUNCTION @extschema@.guestly_timeline(uuid);
DROP FUNCTION guestly.define_comment(oid, text);
DROP FUNCTION guestly.in_words(guestly.attempts);
DROP FUNCTION guestly.know_named_reservations(regclass, text);
DROP FUNCTION guestly.take_stock(regclass);
DROP FUNCTION guestly.why_silent();

-- Tables.

-- From 0.2.1 to 0.3.0: columns that only the worker and the functions use are renamed to standard terms. Tables, and columns that the new
-- library needs before this script has run, keep their names.
-- not in an upgrade: DO $$ BEGIN IF pg_catalog.getdatabaseencoding()

-- A sale waits for these locks only as long as this script: behind a long transaction the update is refused, and can be repeated.
SET LOCAL lock_timeout = '5s';
LOCK TABLE guestly.queue, guestly.changes IN ACCESS EXCLUSIVE MODE;

ALTER TABLE guestly.attachment RENAME COLUMN paid_words TO paid_statuses_seen;

ALTER TABLE guestly.queue RENAME COLUMN look_up_first TO verify_first;
ALTER TABLE guestly.queue RENAME COLUMN claim TO claim_id;
ALTER TABLE guestly.queue RENAME COLUMN code TO confirmation_code;
ALTER TABLE guestly.queue RENAME COLUMN doubt_since TO uncertain_since;
ALTER TABLE guestly.queue RENAME COLUMN creates TO unconfirmed_creates;
ALTER TABLE guestly.queue RENAME COLUMN verdict TO pending_refusal;
ALTER TABLE guestly.queue RENAME COLUMN home TO queued_in;

ALTER INDEX guestly.reservations_ahead RENAME TO reservations_upcoming;

ALTER TABLE guestly.worker RENAME COLUMN held_until TO paused_until;
ALTER TABLE guestly.worker RENAME COLUMN quota TO rate_levels;
ALTER TABLE guestly.worker RENAME COLUMN quota_at TO rate_levels_at;
ALTER TABLE guestly.worker RENAME COLUMN credentials_mark TO credentials_fingerprint;
ALTER TABLE guestly.worker RENAME COLUMN timeline TO wal_timeline;
ALTER TABLE guestly.worker RENAME COLUMN mail_since TO mail_started_at;

ALTER TABLE guestly.alerts RENAME COLUMN settled_at TO closed_at;

ALTER TABLE guestly.token RENAME COLUMN mark TO credentials_fingerprint;
ALTER TABLE guestly.token_requests RENAME COLUMN mark TO credentials_fingerprint;

-- Functions, views and triggers.

CREATE VIEW guestly.known_bookings AS
SELECT q.booking_id, 'queued'::text AS reason FROM guestly.queue q
UNION ALL SELECT o.booking_id, 'paid_before' FROM guestly.old_bookings o
UNION ALL SELECT w.booking_id, 'withdrawn' FROM guestly.withdrawn w
UNION ALL SELECT r.booking_id, 'reservation' FROM guestly.reservations r WHERE r.reservation_id OPERATOR (pg_catalog.!~~) 'test-%'
UNION ALL SELECT t.booking_id, 'test_reservation' FROM guestly.reservations t WHERE t.reservation_id OPERATOR (pg_catalog.~~) 'test-%';

CREATE OR REPLACE FUNCTION guestly.define_columns(bookings oid) RETURNS void
STRICT LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'define_columns_wrapper';

CREATE OR REPLACE FUNCTION guestly.define_index(bookings oid, name text, keys text) RETURNS void
STRICT LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'define_index_wrapper';

CREATE OR REPLACE FUNCTION guestly.define_triggers(bookings oid, arguments text[], changed text, columns text[]) RETURNS void
STRICT LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'define_triggers_wrapper';

CREATE OR REPLACE FUNCTION guestly.drop_triggers(bookings oid) RETURNS void
STRICT LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'drop_triggers_wrapper';

CREATE FUNCTION guestly.define_comment(bookings oid, comment text) RETURNS void
STRICT LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'define_comment_wrapper';

CREATE OR REPLACE FUNCTION guestly.trigger_names() RETURNS text[]
IMMUTABLE STRICT LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'trigger_names_wrapper';

CREATE OR REPLACE FUNCTION guestly.named_reservations(bookings oid, key_column text) RETURNS TABLE (booking_id text, reservation_id text)
STRICT LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'named_reservations_wrapper';

CREATE OR REPLACE FUNCTION guestly.properties_without_listing() RETURNS text[]
STRICT LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'properties_without_listing_wrapper';

CREATE OR REPLACE FUNCTION guestly.check_expression(field text, expression text) RETURNS void
STRICT LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'check_expression_wrapper';

CREATE OR REPLACE FUNCTION guestly.mapped_columns() RETURNS smallint[]
STRICT LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'mapped_columns_wrapper';

CREATE OR REPLACE FUNCTION guestly.fill_field_map(bookings regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    property text := guestly.first_column(bookings, 'property_id', 'listing_id', 'apartment_id', 'unit_id');
    -- Null if the table has no such column; the expressions built from it are then null, too.
    full_name text := 'b.' || quote_ident(guestly.first_column(bookings, 'guest_name', 'customer_name', 'name'));
    pet text := 'b.' || quote_ident(guestly.first_column(bookings, 'has_pet', 'has_pets'));
BEGIN
    INSERT INTO guestly.field_map AS m (field, expression)
    SELECT f.field, f.expression
    FROM (VALUES
        ('reference', guestly.column_expression(bookings, NULL, 'booking_reference', 'reference', 'booking_code', 'code')),
        ('property', coalesce(guestly.column_expression(bookings, NULL, 'property_slug', 'slug', 'property'),
                              guestly.property_expression(bookings, property))),
        ('property_id', 'b.' || quote_ident(property)),
        ('guest_first_name', guestly.column_expression(bookings, 'pg_catalog.split_part(' || full_name || '::text, '' '', 1)',
                                                       'guest_first_name', 'first_name')),
        ('guest_last_name', guestly.column_expression(bookings,
            'coalesce(nullif(pg_catalog.regexp_replace(' || full_name || '::text, ''^\S+\s*'', ''''), ''''), ' || full_name || '::text)',
            'guest_last_name', 'last_name')),
        ('guest_email', guestly.column_expression(bookings, NULL, 'guest_email', 'email', 'customer_email')),
        ('guest_phone', guestly.column_expression(bookings, NULL, 'guest_phone', 'phone', 'customer_phone')),
        ('check_in', guestly.column_expression(bookings, NULL, 'check_in_date', 'check_in', 'checkin', 'arrival', 'start_date')),
        ('check_out', guestly.column_expression(bookings, NULL, 'check_out_date', 'check_out', 'checkout', 'departure', 'end_date')),
        ('adults', guestly.column_expression(bookings, '1', 'adults', 'guests', 'guests_count', 'num_guests')),
        ('children', guestly.column_expression(bookings, '0', 'children')),
        ('infants', guestly.column_expression(bookings, '0', 'infants')),
        ('pets', guestly.column_expression(bookings, coalesce('CASE WHEN ' || pet || ' THEN 1 ELSE 0 END', '0'), 'pets')),
        ('total', guestly.column_expression(bookings, NULL, 'total', 'total_price', 'total_amount', 'amount')),
        ('status', guestly.column_expression(bookings, '''confirmed''', 'status', 'booking_status')),
        ('payment_status', 'b.payment_status'),
        ('payment_reference', guestly.column_expression(bookings, NULL, 'stripe_payment_intent_id', 'payment_intent_id',
                                                        'payment_reference', 'payment_id')),
        ('special_requests', guestly.column_expression(bookings, NULL, 'special_requests', 'guest_notes', 'notes')),
        ('purpose', guestly.column_expression(bookings, NULL, 'purpose_of_stay', 'purpose')),
        ('company', guestly.column_expression(bookings, NULL, 'guest_company', 'company')),
        ('country', guestly.column_expression(bookings, NULL, 'guest_country', 'country')),
        ('language', guestly.column_expression(bookings, NULL, 'guest_language', 'preferred_language', 'locale', 'language'))
    ) AS f (field, expression)
    WHERE f.expression IS NOT NULL
    ON CONFLICT (field) DO NOTHING;
END $$;

CREATE OR REPLACE FUNCTION guestly.add_indexes(bookings regclass, payment_column text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    wanted record;
    name text;
    -- The expression that the sweep compares. Casting an enum to text is not immutable, so an enum gets only the predicate.
    payment_key CONSTANT text := (SELECT format(CASE t.typcategory WHEN 'S' THEN '(lower(btrim(%I::text, E'' \t\n\r\f'') COLLATE "C"))' ELSE '(%I)' END, a.attname)
                                  FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
                                  WHERE a.attrelid = bookings AND a.attname = payment_column);
BEGIN
    FOR wanted IN
        SELECT w.suffix, w.keys, w.predicate, w.first FROM (VALUES
            ('guestly_open_idx', payment_key, 'WHERE guestly_reservation_id IS NULL', NULL),
            ('guestly_reservation_idx', '(guestly_reservation_id)', '', 'guestly_reservation_id'),
            ('guestly_failed_idx', '(guestly_sync_status)', 'WHERE guestly_sync_status = ''failed''', 'guestly_sync_status')
        ) AS w (suffix, keys, predicate, first)
        WHERE NOT EXISTS (SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
                          WHERE i.indrelid = bookings AND a.attname = w.first)
    LOOP
        name := left((SELECT c.relname FROM pg_class c WHERE c.oid = bookings), 38) || '_' || wanted.suffix;
        IF NOT EXISTS (SELECT FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = bookings AND c.relname = name) THEN
            PERFORM guestly.define_index(bookings, name, concat_ws(' ', wanted.keys, nullif(wanted.predicate, '')));
        END IF;
    END LOOP;
END $$;

CREATE OR REPLACE FUNCTION guestly.attach(bookings regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    name text := guestly.qualified_name(bookings);
    key record;
    payment text := guestly.first_column(bookings, 'payment_status');
    arrival text;
    since timestamptz;
    former text := (SELECT a.bookings FROM guestly.attachment a);
BEGIN
    IF guestly.relation_named(former) <> bookings THEN
        RAISE EXCEPTION 'table % is already attached', former
            USING ERRCODE = 'object_not_in_prerequisite_state', DETAIL = format('Only one bookings table is supported; %s was not attached.', name),
                  HINT = 'To attach the other table, detach this one first: SELECT guestly_detach();';
    END IF;
    PERFORM guestly.must_be_table(bookings);
    key := guestly.booking_key(bookings);
    IF payment IS NULL THEN
        RAISE EXCEPTION 'table % has no column payment_status', name
            USING ERRCODE = 'undefined_column',
                  DETAIL = format('Its columns are %s.', (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) FROM pg_attribute a
                                                          WHERE a.attrelid = bookings AND a.attnum > 0 AND NOT a.attisdropped)),
                  HINT = 'Attach the table whose column payment_status shows that a booking is paid.';
    END IF;
    PERFORM guestly.define_columns(bookings);
    PERFORM guestly.add_indexes(bookings, payment);
    -- The queue can be ordered by arrival only if the column is a date or timestamp.
    SELECT a.attname INTO arrival FROM pg_attribute a
    WHERE a.attrelid = bookings AND a.atttypid IN ('date'::regtype, 'timestamp'::regtype, 'timestamptz'::regtype)
      AND a.attname = guestly.first_column(bookings, 'check_in_date', 'check_in', 'checkin', 'arrival', 'start_date');
    since := guestly.remembered_attachment(bookings);
    INSERT INTO guestly.attachment AS a (bookings, key_column, key_type, payment_column, arrival_column, attached_at)
    VALUES (name, key.name, key.type, payment, arrival, coalesce(since, clock_timestamp()))
    ON CONFLICT ((true)) DO UPDATE
    SET bookings = excluded.bookings, key_column = excluded.key_column, key_type = excluded.key_type,
        payment_column = excluded.payment_column, arrival_column = excluded.arrival_column,
        attached_at = CASE WHEN a.bookings = excluded.bookings THEN a.attached_at ELSE excluded.attached_at END;
    PERFORM guestly.fill_field_map(bookings);
    PERFORM guestly.fill_status_map();
    PERFORM guestly.check_expression(m.field, m.expression) FROM guestly.field_map m;
    IF former IS DISTINCT FROM name THEN
        PERFORM guestly.record_baseline(bookings);
    END IF;
    PERFORM guestly.remember_attachment(bookings);
    PERFORM guestly.add_triggers(bookings, key.name, payment, arrival, guestly.watched_columns(bookings, payment));
    PERFORM guestly.wake_worker();
END $$;

CREATE OR REPLACE FUNCTION guestly.must_be_table(bookings regclass) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    name text := guestly.qualified_name(bookings);
    kind "char"; persistence "char"; child record;
BEGIN
    SELECT c.relkind, c.relpersistence INTO kind, persistence FROM pg_class c WHERE c.oid = bookings;
    IF kind NOT IN ('r', 'p') THEN
        RAISE EXCEPTION '% is not a table', name
            USING ERRCODE = 'wrong_object_type',
                  DETAIL = format('It is a %s.', CASE kind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view'
                                                           WHEN 'f' THEN 'foreign table' ELSE 'relation of a different kind' END),
                  HINT = 'Attach the underlying table, in the database that contains it.';
    END IF;
    IF persistence <> 'p' THEN
        RAISE EXCEPTION '% is not a permanent table', name
            USING ERRCODE = 'wrong_object_type',
                  DETAIL = CASE persistence WHEN 't' THEN 'It is a temporary table, which is dropped at the end of its session.'
                                            ELSE 'It is an unlogged table, which is emptied after a crash of the server.' END,
                  HINT = CASE persistence WHEN 't' THEN 'Attach the permanent bookings table.'
                                          ELSE format('ALTER TABLE %s SET LOGGED;', name) END;
    END IF;
    -- The owner of the table cannot add columns and triggers to them, and their code would run as the owner of the table.
    SELECT guestly.qualified_name(c.oid) AS name, pg_get_userbyid(c.relowner) AS owner, pg_get_userbyid(p.relowner) AS wanted INTO child
    FROM guestly.children(bookings) AS d (relation) JOIN pg_class c ON c.oid = d.relation JOIN pg_class p ON p.oid = bookings
    WHERE c.relowner <> p.relowner LIMIT 1;
    IF child.name IS NOT NULL THEN
        RAISE EXCEPTION 'table % is a partition or child of % but has a different owner', child.name, name
            USING ERRCODE = 'insufficient_privilege',
                  DETAIL = format('It is owned by %I, and %s is owned by %I.', child.owner, name, child.wanted),
                  HINT = format('ALTER TABLE %s OWNER TO %I;', child.name, child.wanted);
    END IF;
END $$;

CREATE FUNCTION guestly.record_baseline(bookings regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    waiting text[] := guestly.remembered_waiting(bookings);
    key text := (SELECT a.key_column FROM guestly.attachment a);
BEGIN
    -- Also for bookings that are not paid now: they may be paid again.
    PERFORM guestly.import_reservation_ids(bookings, key);
    -- For these, a change or a cancellation was queued.
    INSERT INTO guestly.changes (booking_id)
    SELECT r.booking_id FROM guestly.reservations r WHERE r.booking_id = ANY (waiting);
    -- A call may have been in flight just now: create nothing until it would be visible.
    PERFORM guestly.enqueue_missed(array_agg(p.booking_id), array_agg(p.arrival::date), clock_timestamp()) FROM guestly.paid_bookings() p
    WHERE p.reservation_id IS NULL AND p.booking_id = ANY (waiting);
    INSERT INTO guestly.old_bookings (booking_id)
    SELECT p.booking_id FROM guestly.paid_bookings() p
    WHERE p.reservation_id IS NULL AND NOT EXISTS (SELECT FROM guestly.known_bookings k WHERE k.booking_id = p.booking_id AND k.reason = 'queued')
    ON CONFLICT (booking_id) DO NOTHING;
    UPDATE guestly.attachment
    SET paid_statuses_seen = ARRAY (SELECT w.word FROM jsonb_array_elements_text(guestly.setting_values() -> 'paid_statuses') AS w (word));
END $$;

CREATE FUNCTION guestly.enqueue_missed(ids text[], arrivals date[], uncertain_since timestamptz) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO guestly.queue (booking_id, arrival, verify_first, uncertain_since)
    SELECT m.id, m.arrival, true, enqueue_missed.uncertain_since FROM unnest(ids, arrivals) AS m (id, arrival)
    ON CONFLICT (booking_id) DO NOTHING
$$;

CREATE FUNCTION guestly.import_reservation_ids(bookings regclass, key_column text) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO guestly.reservations (booking_id, reservation_id, confirmation_code, adopted)
    SELECT n.booking_id, n.reservation_id, '', true FROM guestly.named_reservations(bookings, key_column) n
    ON CONFLICT (booking_id) DO NOTHING
$$;

CREATE OR REPLACE FUNCTION guestly.refill_reservations() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM guestly.import_reservation_ids(guestly.attached(), a.key_column) FROM guestly.attachment a WHERE guestly.attached() IS NOT NULL;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION guestly.booking_key(bookings regclass, OUT name text, OUT type text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    SELECT a.attname, format_type(a.atttypid, NULL) INTO name, type
    FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
    WHERE i.indrelid = bookings AND i.indisprimary AND (i.indnkeyatts = 1 OR a.attname = 'id')
      AND a.atttypid IN ('uuid'::regtype, 'bigint'::regtype, 'integer'::regtype, 'text'::regtype, 'varchar'::regtype);
    IF name IS NULL THEN
        RAISE EXCEPTION 'table % has no single-column primary key of type uuid, bigint, integer or text', guestly.qualified_name(bookings)
            USING ERRCODE = 'invalid_table_definition',
                  DETAIL = coalesce((SELECT pg_get_constraintdef(k.oid) FROM pg_constraint k WHERE k.conrelid = bookings AND k.contype = 'p'),
                                    'It has no primary key.'),
                  HINT = 'Add such a primary key: the queue identifies bookings by it.';
    END IF;
END $$;

CREATE OR REPLACE FUNCTION guestly.remembered_attachment(bookings regclass) RETURNS timestamptz
LANGUAGE plpgsql STABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN substring(guestly.remembered(bookings) FROM 'attached since (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z)')::timestamptz;
EXCEPTION WHEN data_exception THEN
    PERFORM guestly.ignore_comment(bookings, 'the table is treated as attached now', SQLERRM);
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION guestly.remembered_waiting(bookings regclass) RETURNS text[]
LANGUAGE plpgsql STABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT coalesce(array_agg(w.id), '{}')
            FROM jsonb_array_elements_text(coalesce(substring(guestly.remembered(bookings) FROM 'waiting: (\[.*\])$')::jsonb, '[]')) AS w (id));
EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
    PERFORM guestly.ignore_comment(bookings, 'bookings that were queued are not queued again; to list them: SELECT * FROM guestly_backfill();', SQLERRM);
    RETURN '{}';
END $$;

CREATE OR REPLACE FUNCTION guestly.ignore_comment(bookings regclass, consequence text, reason text) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE WARNING 'guestly_sync: cannot parse the comment on column %.guestly_sync_attempts: %', bookings, consequence
        USING DETAIL = reason, HINT = format('COMMENT ON COLUMN %s.guestly_sync_attempts IS NULL;', bookings);
END $$;

CREATE OR REPLACE FUNCTION guestly.remember_attachment(bookings regclass, with_waiting boolean DEFAULT false) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    since text := (SELECT to_char(a.attached_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') FROM guestly.attachment a);
    waiting jsonb := (SELECT jsonb_agg(q.booking_id) FROM (
        SELECT booking_id FROM guestly.queue WHERE with_waiting UNION SELECT booking_id FROM guestly.changes WHERE with_waiting LIMIT 10000) q);
BEGIN
    PERFORM guestly.define_comment(bookings,
        'guestly_sync: attempts since the booking was last queued; attached since ' || since || coalesce('; waiting: ' || waiting::text, ''));
END $$;

CREATE OR REPLACE FUNCTION guestly.let_owner_read() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    holder name := (SELECT pg_get_userbyid(c.relowner) FROM pg_class c WHERE TG_OP <> 'DELETE' AND c.oid = guestly.relation_named(NEW.bookings));
    former name := CASE WHEN TG_OP <> 'INSERT' THEN (SELECT r.rolname FROM pg_roles r WHERE r.rolname = OLD.owner) END;
BEGIN
    IF former IS DISTINCT FROM holder AND former NOT IN ('guestly_owner', 'guestly_admin', 'service_role') THEN
        EXECUTE format('REVOKE ALL ON guestly.queue, guestly.reservations, guestly.old_bookings, guestly.withdrawn, guestly.known_bookings, guestly.changes FROM %1$I; '
                       'REVOKE ALL ON FUNCTION @extschema@.guestly_note_paid(), @extschema@.guestly_queue_paid() FROM %1$I; '
                       'REVOKE USAGE ON SCHEMA guestly FROM %1$I', former);
    END IF;
    IF holder IS NOT NULL THEN
        IF NOT guestly.has_owner_rights(holder) THEN
            PERFORM guestly.give_owner_rights(holder);
        END IF;
        UPDATE guestly.attachment a SET owner = holder WHERE a.owner IS DISTINCT FROM holder;
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION guestly.give_owner_rights(holder name) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA guestly TO %1$I; '
                   'GRANT SELECT ON guestly.queue, guestly.reservations, guestly.old_bookings, guestly.withdrawn, guestly.known_bookings, guestly.changes TO %1$I; '
                   'GRANT EXECUTE ON FUNCTION @extschema@.guestly_note_paid(), @extschema@.guestly_queue_paid() TO %1$I', holder);
    IF NOT has_schema_privilege(holder, (SELECT e.extnamespace FROM pg_extension e WHERE e.extname = 'guestly_sync'), 'USAGE') THEN
        EXECUTE format('GRANT USAGE ON SCHEMA @extschema@ TO %I', holder);
    END IF;
END $$;

CREATE OR REPLACE FUNCTION guestly.has_owner_rights(holder name) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT has_schema_privilege(holder, 'guestly', 'USAGE')
       AND has_schema_privilege(holder, (SELECT e.extnamespace FROM pg_extension e WHERE e.extname = 'guestly_sync'), 'USAGE')
       AND (SELECT bool_and(has_table_privilege(holder, t.name, 'SELECT'))
            FROM unnest(ARRAY['guestly.queue', 'guestly.reservations', 'guestly.old_bookings', 'guestly.withdrawn', 'guestly.known_bookings',
                              'guestly.changes']) AS t (name))
       AND has_function_privilege(holder, '@extschema@.guestly_note_paid()', 'EXECUTE')
       AND has_function_privilege(holder, '@extschema@.guestly_queue_paid()', 'EXECUTE')
$$;

CREATE OR REPLACE FUNCTION @extschema@.guestly_note_paid() RETURNS trigger
LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'guestly_note_paid_wrapper';

CREATE OR REPLACE FUNCTION @extschema@.guestly_queue_paid() RETURNS trigger
LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'guestly_queue_paid_wrapper';

CREATE OR REPLACE FUNCTION guestly.add_triggers(bookings regclass, key_column text, payment_column text, arrival_column text, columns text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- The arguments as pg_trigger stores them.
    stored text := format(E'%s\\000%s\\000%s\\000', key_column, payment_column, coalesce(arrival_column, ''));
BEGIN
    -- All six exist, are enabled and watch the same columns: lock nothing.
    IF (SELECT a.watched FROM guestly.attachment a) = columns
       AND (SELECT count(*) FROM pg_trigger t WHERE t.tgrelid = bookings AND t.tgname = ANY (guestly.trigger_names()) AND t.tgenabled IN ('O', 'A')
            AND (t.tgname LIKE '%\_end' OR encode(t.tgargs, 'escape') = stored)) = 6 THEN
        RETURN;
    END IF;
    PERFORM guestly.define_triggers(bookings, ARRAY[key_column, payment_column, coalesce(arrival_column, '')],
                                    guestly.is_changed(bookings, columns), columns);
    UPDATE guestly.attachment a SET watched = columns WHERE a.watched IS DISTINCT FROM columns;
END $$;

CREATE OR REPLACE FUNCTION guestly.watch_field_map() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    attached record;
    columns text[];
BEGIN
    SELECT guestly.relation_named(a.bookings) AS bookings, a.key_column, a.payment_column, a.arrival_column, a.watched INTO attached FROM guestly.attachment a;
    -- Nothing is watched yet: guestly_attach() creates the triggers later.
    IF attached.bookings IS NULL OR cardinality(attached.watched) = 0 OR NOT current_setting('check_function_bodies')::boolean THEN
        RETURN NULL;
    END IF;
    BEGIN
        -- Expressions written while check_function_bodies was off (pg_restore) were never checked.
        PERFORM guestly.check_expression(m.field, m.expression) FROM guestly.field_map m;
        columns := guestly.watched_columns(attached.bookings, attached.payment_column);
    EXCEPTION WHEN OTHERS THEN
        -- Another expression is invalid, for example because a column was dropped. The operator corrects them one at a time.
        RAISE WARNING 'triggers on % were not updated and still watch the old columns: %', attached.bookings, SQLERRM
            USING HINT = 'Another expression in guestly.field_map is invalid: correct it, too.';
        RETURN NULL;
    END;
    IF columns IS DISTINCT FROM attached.watched THEN
        PERFORM guestly.add_triggers(attached.bookings, attached.key_column, attached.payment_column, attached.arrival_column, columns);
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION guestly.detach(bookings regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    attached regclass := guestly.attached();
BEGIN
    IF attached IS DISTINCT FROM bookings THEN
        RAISE EXCEPTION 'another table has been attached in the meantime'
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Call SELECT guestly_detach() again.';
    END IF;
    IF attached IS NOT NULL THEN
        BEGIN
            PERFORM guestly.enqueue_missed(array_agg(p.booking_id), array_agg(p.arrival::date), NULL) FROM guestly.paid_bookings() p
            WHERE p.reservation_id IS NULL AND NOT EXISTS (SELECT FROM guestly.known_bookings k WHERE k.booking_id = p.booking_id);
        EXCEPTION WHEN OTHERS THEN
            RAISE WARNING 'guestly_sync: could not search for paid bookings that no trigger queued: %', SQLERRM
                USING HINT = 'After the table is attached again, list them: SELECT * FROM guestly_backfill();';
        END;
        PERFORM guestly.drop_triggers(attached);
    END IF;
    DELETE FROM guestly.attachment;
END $$;

CREATE OR REPLACE FUNCTION guestly.booking(booking_id text) RETURNS jsonb
STRICT LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'booking_wrapper';

CREATE OR REPLACE FUNCTION guestly.preview(booking_id text) RETURNS jsonb
STRICT LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'preview_wrapper';

CREATE OR REPLACE FUNCTION guestly.mark_pending(booking_ids text[]) RETURNS void
STRICT LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'mark_pending_wrapper';

CREATE OR REPLACE FUNCTION guestly.paid_bookings(since double precision DEFAULT NULL) RETURNS TABLE (booking_id text, reservation_id text, arrival text, departure text,
                                                                                 reference text, payment_status text)
LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'paid_bookings_wrapper';

CREATE OR REPLACE FUNCTION guestly.paid_booking_statuses() RETURNS text[]
STRICT LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'paid_booking_statuses_wrapper';

CREATE OR REPLACE FUNCTION guestly.is_paid(payment_status text) RETURNS boolean
STRICT LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'is_paid_wrapper';

CREATE OR REPLACE FUNCTION guestly.setting_values() RETURNS jsonb
STRICT LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'setting_values_wrapper';

CREATE OR REPLACE FUNCTION guestly.this_installation() RETURNS TABLE (system_identifier text, database_oid oid, environment text)
STRICT LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'this_installation_wrapper';

CREATE OR REPLACE FUNCTION guestly.wake_worker() RETURNS void
STRICT LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'wake_worker_wrapper';

CREATE OR REPLACE FUNCTION guestly.live_worker() RETURNS TABLE (pid integer, since timestamptz)
STRICT LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'live_worker_wrapper';

CREATE OR REPLACE FUNCTION guestly.ask_worker() RETURNS boolean
STRICT LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'ask_worker_wrapper';

CREATE OR REPLACE FUNCTION guestly.ask_for_mail() RETURNS boolean
STRICT LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'ask_for_mail_wrapper';

CREATE OR REPLACE FUNCTION guestly.host_code() RETURNS TABLE (pid integer, since timestamptz, booking_id text)
STRICT LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'host_code_wrapper';

CREATE OR REPLACE FUNCTION guestly.sweep_stopped_at() RETURNS timestamptz
STRICT LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'sweep_stopped_at_wrapper';

CREATE OR REPLACE FUNCTION guestly.is_preloaded() RETURNS boolean
STRICT LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'is_preloaded_wrapper';

CREATE OR REPLACE FUNCTION guestly.preloaded_libraries() RETURNS text
STRICT LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'preloaded_libraries_wrapper';

CREATE OR REPLACE FUNCTION guestly.library_version() RETURNS text
STRICT LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'library_version_wrapper';

CREATE OR REPLACE FUNCTION guestly.caller_search_path() RETURNS text
STRICT LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'caller_search_path_wrapper';

CREATE OR REPLACE FUNCTION guestly.must_exist(booking_id text) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found jsonb := guestly.booking(booking_id);
BEGIN
    IF found IS NULL THEN
        RAISE EXCEPTION 'booking % does not exist', quote_nullable(left(booking_id, 80))
            USING ERRCODE = 'no_data_found',
                  DETAIL = format('No row of %s has this primary key.', (SELECT a.bookings FROM guestly.attachment a)),
                  HINT = format('Use the primary key of a row of %s.', (SELECT a.bookings FROM guestly.attachment a));
    END IF;
    RETURN found;
END $$;

CREATE OR REPLACE FUNCTION guestly.requeue(ids text[], arrivals date[], forced boolean, look_first boolean DEFAULT false,
                                backfill timestamptz DEFAULT NULL) RETURNS text[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    queued text[];
BEGIN
    WITH written AS (
        INSERT INTO guestly.queue AS q (booking_id, arrival, force, backfill, verify_first)
        SELECT n.id, n.arrival, forced, requeue.backfill, look_first OR EXISTS (SELECT FROM guestly.attempts a WHERE a.booking_id = n.id AND a.operation = 'create')
                                        OR EXISTS (SELECT FROM guestly.known_bookings k WHERE k.booking_id = n.id AND k.reason = 'paid_before')
        FROM unnest(ids, arrivals) AS n (id, arrival)
        ON CONFLICT (booking_id) DO UPDATE
        SET state = 'ready', attempts = 0, due_at = clock_timestamp(), queued_at = clock_timestamp(), arrival = excluded.arrival,
            force = q.force OR excluded.force, verify_first = q.verify_first OR excluded.verify_first OR q.unconfirmed_creates > 0,
            look_ups = 0, failed_reads = 0, pending_refusal = NULL, backfill = coalesce(q.backfill, excluded.backfill),
            error_class = NULL, error = NULL
        WHERE q.state IN ('ready', 'waiting', 'failed')
        RETURNING q.booking_id
    )
    SELECT coalesce(array_agg(w.booking_id), '{}') INTO queued FROM written w;
    -- Bookings postponed because host code did not end are tried at once; those with an unknown outcome are looked up first.
    UPDATE guestly.queue q SET due_at = clock_timestamp()
    WHERE q.booking_id = ANY (ids) AND q.state = 'unknown' AND q.error_class = 'internal' AND q.due_at > clock_timestamp();
    DELETE FROM guestly.withdrawn w WHERE w.booking_id = ANY (queued);
    RETURN queued;
END $$;

CREATE OR REPLACE FUNCTION @extschema@.guestly_sync(booking_id text, force boolean DEFAULT false) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    booking jsonb := guestly.must_exist(booking_id);
    id text := booking ->> 'booking_id';
BEGIN
    -- A booking that is queued or has a reservation was paid once: after a refund its reservation may still have to be cancelled.
    IF NOT (booking ->> 'paid')::boolean AND NOT coalesce(force, false)
       AND NOT EXISTS (SELECT FROM guestly.known_bookings k WHERE k.booking_id = id AND k.reason IN ('queued', 'reservation')) THEN
        RAISE EXCEPTION 'booking % is not paid: its payment status is %', id, coalesce(quote_literal(booking ->> 'payment_status'), 'empty')
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = format('Payment statuses that mean paid: %s.', current_setting('guestly_sync.paid_statuses')),
                  HINT = format('To send it anyway: SELECT guestly_sync(%L, force => true); the setting guestly_sync.paid_statuses lists the statuses that mean paid.', id);
    END IF;
    IF EXISTS (SELECT FROM guestly.known_bookings k WHERE k.booking_id = id
               AND (k.reason = 'reservation' OR k.reason = 'test_reservation' AND (guestly.setting_values() ->> 'test_mode')::boolean))
       AND NOT EXISTS (SELECT FROM guestly.known_bookings k WHERE k.booking_id = id AND k.reason = 'queued') THEN
        -- It is synced as far as is known here; the worker compares it with the reservation.
        INSERT INTO guestly.changes (booking_id, arrival) VALUES (id, (booking ->> 'arrival')::date);
        PERFORM guestly.wake_worker();
        RETURN 'synced';
    END IF;
    PERFORM guestly.queue_afresh(ARRAY[id], ARRAY[(booking ->> 'arrival')::date], coalesce(force, false));
    RETURN 'queued';
END $$;

CREATE FUNCTION @extschema@.guestly_sync(booking_uuid uuid, force boolean DEFAULT false) RETURNS text
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT @extschema@.guestly_sync(booking_uuid::text, force) $$;

CREATE FUNCTION @extschema@.guestly_sync(booking_number bigint, force boolean DEFAULT false) RETURNS text
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT @extschema@.guestly_sync(booking_number::text, force) $$;

CREATE OR REPLACE FUNCTION @extschema@.guestly_retry_failed(error_class text DEFAULT NULL, max_rows bigint DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    chosen record;
BEGIN
    IF max_rows < 0 THEN
        RAISE EXCEPTION 'max_rows must not be negative'
            USING ERRCODE = 'invalid_parameter_value', DETAIL = format('max_rows is %s.', max_rows), HINT = 'Omit it to retry all failed bookings.';
    END IF;
    SELECT array_agg(f.booking_id) AS ids, array_agg(f.arrival) AS arrivals INTO chosen
    FROM (SELECT q.booking_id, q.arrival FROM guestly.queue q
          WHERE q.state = 'failed' AND (guestly_retry_failed.error_class IS NULL OR q.error_class = guestly_retry_failed.error_class)
          ORDER BY q.arrival NULLS FIRST LIMIT max_rows FOR UPDATE SKIP LOCKED) f;
    IF chosen.ids IS NULL THEN
        RETURN 0;
    END IF;
    RETURN guestly.queue_afresh(chosen.ids, chosen.arrivals, false);
END $$;

CREATE FUNCTION @extschema@.guestly_preview(booking_uuid uuid) RETURNS jsonb
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT @extschema@.guestly_preview(booking_uuid::text) $$;

CREATE FUNCTION @extschema@.guestly_preview(booking_number bigint) RETURNS jsonb
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT @extschema@.guestly_preview(booking_number::text) $$;

CREATE OR REPLACE FUNCTION @extschema@.guestly_test_alert() RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT (guestly.setting_values() ->> 'mail')::boolean THEN
        RAISE EXCEPTION 'alert mail is not configured'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = CASE WHEN guestly.setting_values() ->> 'mail_to' = '' THEN 'guestly_sync.admin_email is empty.'
                                ELSE 'guestly_sync.smtp_url and guestly_sync.email_api_url are empty.' END,
                  HINT = 'Set guestly_sync.admin_email, and guestly_sync.smtp_url or guestly_sync.email_api_url.';
    END IF;
    IF NOT guestly.ask_for_mail() THEN
        RAISE EXCEPTION 'the worker did not respond'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = coalesce((SELECT format('The process ID of the worker is %s.', w.pid) FROM guestly.live_worker() w), 'This database has no worker.'),
                  HINT = 'See SELECT * FROM guestly_doctor().';
    END IF;
    RETURN (SELECT w.mail_answer FROM guestly.worker w);
END $$;

CREATE OR REPLACE FUNCTION @extschema@.guestly_arm() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT guestly.is_armed() THEN
        -- The original may have sent any of them up to now: create nothing until that would be visible.
        UPDATE guestly.queue SET verify_first = true, uncertain_since = clock_timestamp(), look_ups = 0, failed_reads = 0;
        -- These claims are not from a worker of this server, so no worker would recover them.
        UPDATE guestly.queue q
        SET state = 'unknown', claim_id = NULL, operation = NULL, due_at = clock_timestamp(),
            unconfirmed_creates = q.unconfirmed_creates + (q.operation = 'create')::integer,
            error_class = 'unknown_outcome', error = 'a call was in flight when the database was copied'
        WHERE q.claim_id IS NOT NULL;
        DELETE FROM guestly.token;
    END IF;
    -- A restored dump may lack the privileges that the trigger of this table grants.
    UPDATE guestly.attachment SET bookings = bookings;
    -- A backup may lack reservations that were created later.
    PERFORM guestly.import_reservation_ids(guestly.attached(), a.key_column) FROM guestly.attachment a WHERE guestly.attached() IS NOT NULL;
    DELETE FROM guestly.installations;
    INSERT INTO guestly.installations (system_identifier, database_oid, environment) SELECT * FROM guestly.this_installation();
    PERFORM guestly.wake_worker();
END $$;

CREATE OR REPLACE FUNCTION @extschema@.guestly_backfill(since timestamptz DEFAULT NULL, dry_run boolean DEFAULT true)
RETURNS TABLE (booking_id text, reference text, action text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    started timestamptz := clock_timestamp();
    found jsonb := (SELECT jsonb_agg(jsonb_build_object('id', p.booking_id, 'reference', p.reference, 'arrival', p.arrival, 'over', o.over,
                                                        'queued', EXISTS (SELECT FROM guestly.known_bookings k WHERE k.booking_id = p.booking_id AND k.reason = 'queued'))
                                     ORDER BY o.over, p.arrival NULLS FIRST, p.booking_id)
                    FROM guestly.paid_bookings(extract(epoch FROM since)::double precision) p
                    CROSS JOIN LATERAL (SELECT coalesce(p.departure::date < current_date, false) AS over) o
                    WHERE (coalesce(p.reservation_id, '') = '' OR p.reservation_id LIKE 'test-%')
                      AND NOT EXISTS (SELECT FROM guestly.known_bookings k WHERE k.booking_id = p.booking_id AND k.reason = 'reservation'));
BEGIN
    IF NOT dry_run THEN
        PERFORM guestly.queue_afresh(array_agg(f.id), array_agg(f.arrival), false, true, started)
        FROM jsonb_to_recordset(found) AS f (id text, arrival date, over boolean, queued boolean) WHERE NOT f.queued AND NOT f.over HAVING count(*) > 0;
        INSERT INTO guestly.backfills AS b (started_at, bookings)
        SELECT started, count(*) FROM guestly.queue q WHERE q.backfill = started HAVING count(*) > 0
        ON CONFLICT (started_at) DO UPDATE SET bookings = excluded.bookings;
    END IF;
    RETURN QUERY
    SELECT f.id, f.reference, CASE WHEN f.queued THEN 'already queued' WHEN f.over THEN 'skipped: the stay is over'
                                   WHEN dry_run THEN 'would be queued' ELSE 'queued' END
    FROM jsonb_to_recordset(found) AS f (id text, reference text, over boolean, queued boolean);
END $$;

CREATE FUNCTION guestly.describe_attempt(a guestly.attempts) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT concat_ws(' ',
        CASE a.outcome
            WHEN 'created' THEN 'Guestly confirmed the reservation'
            WHEN 'adopted' THEN 'found in Guestly: adopted, not created again'
            WHEN 'not_found' THEN 'not found in Guestly (yet)'
            WHEN 'changed' THEN 'change accepted; it is read back after guestly_sync.settle'
            WHEN 'confirmed' THEN 'the reservation matches the booking'
            WHEN 'differs' THEN 'the reservation differs from the booking; it is changed next'
            WHEN 'recorded' THEN 'the payment is recorded in Guestly'
            WHEN 'not_recorded' THEN 'the payment is not recorded in Guestly; it is recorded next'
            WHEN 'found' THEN 'Guestly has a reservation with this confirmation code'
            WHEN 'refused' THEN 'refused'
            WHEN 'rejected' THEN 'Guestly rejected the access token'
            WHEN 'throttled' THEN 'rate limited by Guestly'
            WHEN 'not_sent' THEN 'nothing was sent'
            WHEN 'unavailable' THEN CASE WHEN a.operation IN ('look_up', 'read_back', 'list_payments') THEN 'no usable answer; the read is repeated'
                                         ELSE 'Guestly returned a server error; a look-up decides whether the call took effect' END
            WHEN 'unknown' THEN CASE WHEN a.operation IN ('look_up', 'read_back', 'list_payments') THEN 'no usable answer; the read is repeated'
                                     ELSE 'no answer; a look-up decides whether the call took effect' END
            WHEN 'withdrawn' THEN 'removed from the queue'
            WHEN 'gone' THEN 'removed from the queue'
            WHEN 'hung' THEN 'postponed; other bookings are processed first'
            WHEN 'nothing_to_do' THEN 'the reservation matches the booking'
            ELSE a.outcome END,
        CASE WHEN a.operation = 'create' THEN format('(attempt %s, %s ms)', a.attempt, a.duration_ms) END,
        CASE WHEN a.outcome IN ('withdrawn', 'gone') THEN '- ' || a.error WHEN a.error IS NOT NULL THEN '- ' || a.error_class || ': ' || a.error END,
        CASE WHEN a.request_id IS NOT NULL THEN format('[request %s]', a.request_id) END)
$$;

CREATE OR REPLACE FUNCTION guestly.why_not_queued(booking jsonb) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN NOT (booking ->> 'paid')::boolean
            THEN format('not paid: the payment status is %s, and guestly_sync.paid_statuses is %s',
                        coalesce(quote_literal(booking ->> 'payment_status'), 'empty'), current_setting('guestly_sync.paid_statuses', true))
        WHEN EXISTS (SELECT FROM guestly.known_bookings k WHERE k.booking_id = booking ->> 'booking_id' AND k.reason = 'paid_before')
            THEN format('paid before the table was attached (%s); to send it: SELECT guestly_sync(%L);',
                        (SELECT a.attached_at FROM guestly.attachment a), booking ->> 'booking_id')
        WHEN EXISTS (SELECT FROM guestly.known_bookings k WHERE k.booking_id = booking ->> 'booking_id' AND k.reason = 'withdrawn')
            THEN 'cancelled before it was sent'
        ELSE CASE WHEN guestly.triggers_off() IS NOT NULL
                      THEN format('triggers on the bookings table are missing or disabled (%s)', guestly.triggers_off())
                  WHEN NOT guestly.is_armed() THEN 'paid while no trigger fired, or before the database was copied'
                  ELSE 'paid while no trigger fired (session_replication_role = replica)' END
             || CASE WHEN (guestly.setting_values() ->> 'enabled')::boolean
                     THEN '; the worker searches for such bookings every guestly_sync.poll_interval'
                     ELSE '; the worker searches for such bookings once guestly_sync.enabled is on' END
        END
$$;

CREATE FUNCTION guestly.why_not_sending() RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN NOT guestly.is_armed() THEN 'sending is disabled on this server: the database looks like a copy; to make this server the sender: SELECT guestly_arm();'
        WHEN EXISTS (SELECT FROM guestly.pause)
            THEN concat_ws(': ', 'sending is paused', (SELECT p.reason FROM guestly.pause p)) || '; to resume: SELECT guestly_resume();'
        WHEN NOT (guestly.setting_values() ->> 'enabled')::boolean THEN 'guestly_sync.enabled is off'
        WHEN NOT EXISTS (SELECT FROM guestly.live_worker()) THEN 'no worker is running: see guestly_doctor()'
        WHEN EXISTS (SELECT FROM guestly.worker w WHERE w.credentials_error IS NOT NULL) THEN 'Guestly rejects the credentials: see guestly_doctor()'
        WHEN EXISTS (SELECT FROM guestly.worker w WHERE w.breaker = 'open') THEN 'Guestly is unreachable; retries are automatic'
        WHEN EXISTS (SELECT FROM guestly.worker w WHERE w.paused_until > clock_timestamp())
            THEN 'Guestly requested a pause until ' || (SELECT w.paused_until FROM guestly.worker w)
        END
$$;

CREATE OR REPLACE FUNCTION @extschema@.guestly_timeline(booking_id text) RETURNS TABLE (at timestamptz, event text, detail text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    booking jsonb := guestly.booking(booking_id);
    id text := coalesce(booking ->> 'booking_id', booking_id);
BEGIN
    IF booking IS NULL AND NOT EXISTS (SELECT FROM guestly.attempts a WHERE a.booking_id = id) THEN
        PERFORM guestly.must_exist(booking_id);
    END IF;
    RETURN QUERY
    SELECT e.at, e.event, e.detail FROM (
        SELECT q.queued_at, 'queued', concat_ws(', ', CASE WHEN q.force THEN 'forced' END, 'arriving ' || q.arrival) FROM guestly.queue q WHERE q.booking_id = id
        UNION ALL
        SELECT a.started_at, CASE a.operation WHEN 'look_up' THEN 'looked up' WHEN 'plan' THEN 'checked' WHEN 'read_back' THEN 'read back'
                                 WHEN 'list_payments' THEN 'payments listed' WHEN 'record_payment' THEN 'payment recorded' ELSE a.operation END, guestly.describe_attempt(a)
        FROM guestly.attempts a WHERE a.booking_id = id
        UNION ALL
        SELECT r.recorded_at, 'synced', format('reservation %s, confirmation code %s', r.reservation_id, r.confirmation_code)
        FROM guestly.reservations r WHERE r.booking_id = id
        UNION ALL
        SELECT coalesce(r.changed_at, r.recorded_at), 'price', format('Guestly''s total is %s and the guest paid %s: %s %s', round(r.total, 2), round(r.paid, 2),
               round(abs(r.total - r.paid), 2), CASE WHEN r.total > r.paid THEN 'more' ELSE 'less' END)
        FROM guestly.reservations r WHERE r.booking_id = id AND r.total <> r.paid
        UNION ALL
        SELECT clock_timestamp(), 'now', CASE q.state
            WHEN 'ready' THEN 'queued'
            WHEN 'sending' THEN CASE WHEN EXISTS (SELECT FROM guestly.host_code() h WHERE h.booking_id = id)
                                     THEN 'Guestly has answered; the booking''s row is being updated'
                                     ELSE 'claimed: its call is in flight or prefetched' END
            WHEN 'unknown' THEN format('outcome unknown; next look-up at %s', q.due_at)
            WHEN 'waiting' THEN format('next attempt at %s', q.due_at)
            ELSE 'failed' END || coalesce(' (' || q.error_class || ': ' || q.error || ')', '')
            || CASE WHEN q.state = 'failed' THEN format('; to retry: SELECT guestly_sync(%L);', id) ELSE coalesce('; ' || guestly.why_not_sending(), '') END
        FROM guestly.queue q WHERE q.booking_id = id
        UNION ALL
        SELECT clock_timestamp(), 'now', format('process %s has been running code of the bookings table for %s since %s: see guestly_doctor()', h.pid,
               CASE WHEN h.booking_id = id THEN 'this booking' ELSE 'several bookings' END, h.since)
        FROM guestly.host_code() h WHERE (h.booking_id = id OR h.booking_id IS NULL AND EXISTS (SELECT FROM guestly.queue q WHERE q.booking_id = id))
        AND h.since < clock_timestamp() - interval '2 seconds'
        UNION ALL
        SELECT clock_timestamp(), 'deleted', 'the booking no longer exists' WHERE booking IS NULL
        UNION ALL
        SELECT clock_timestamp(), 'not queued', guestly.why_not_queued(booking)
        WHERE booking IS NOT NULL AND NOT EXISTS (SELECT FROM guestly.queue q WHERE q.booking_id = id)
          AND NOT EXISTS (SELECT FROM guestly.attempts a WHERE a.booking_id = id)
          AND NOT EXISTS (SELECT FROM guestly.reservations r WHERE r.booking_id = id)
    ) e (at, event, detail) ORDER BY e.at;
END $$;

CREATE FUNCTION @extschema@.guestly_timeline(booking_uuid uuid) RETURNS TABLE (at timestamptz, event text, detail text)
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT * FROM @extschema@.guestly_timeline(booking_uuid::text) $$;

CREATE FUNCTION @extschema@.guestly_timeline(booking_number bigint) RETURNS TABLE (at timestamptz, event text, detail text)
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT * FROM @extschema@.guestly_timeline(booking_number::text) $$;

CREATE OR REPLACE FUNCTION guestly.status_row() RETURNS TABLE (
    worker_pid integer, worker_since timestamptz, version text, enabled boolean, test_mode boolean, armed boolean,
    paused boolean, pause_reason text, breaker text, breaker_since timestamptz, held_until timestamptz,
    credentials_error text, ready bigint, sending bigint, unknown bigint, waiting bigint, failed bigint,
    oldest_waiting_since timestamptz, last_success_at timestamptz, last_error text, last_error_at timestamptz,
    tokens_24h bigint, token_expires_at timestamptz, quota_second double precision, quota_minute double precision,
    quota_hour double precision, clock_skew_ms bigint, price_differences bigint)
LANGUAGE sql STABLE SECURITY DEFINER ROWS 1 SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
    SELECT l.pid, l.since, guestly.library_version(), (s ->> 'enabled')::boolean, (s ->> 'test_mode')::boolean, guestly.is_armed(),
           p.paused_at IS NOT NULL, p.reason, coalesce(w.breaker, 'closed'), w.breaker_since, w.paused_until, w.credentials_error,
           q.ready, q.sending, q.unknown, q.waiting, q.failed, q.oldest, w.last_success_at, w.last_error, w.last_error_at,
           (SELECT count(*) FROM guestly.token_requests t WHERE t.requested_at > clock_timestamp() - interval '24 hours'),
           (SELECT t.expires_at FROM guestly.token t), w.rate_levels[1], w.rate_levels[2], w.rate_levels[3], w.clock_skew_ms,
           (SELECT count(*) FROM guestly.reservations r WHERE r.total <> r.paid)
    FROM guestly.setting_values() s
    CROSS JOIN (SELECT count(*) FILTER (WHERE state = 'ready') AS ready, count(*) FILTER (WHERE state = 'sending') AS sending,
                       count(*) FILTER (WHERE state = 'unknown') AS unknown, count(*) FILTER (WHERE state = 'waiting') AS waiting,
                       count(*) FILTER (WHERE state = 'failed') AS failed,
                       min(queued_at) FILTER (WHERE state <> 'failed') AS oldest
                FROM guestly.queue) q
    LEFT JOIN guestly.live_worker() l ON true
    LEFT JOIN guestly.worker w ON true
    LEFT JOIN guestly.pause p ON true
$$;

CREATE OR REPLACE FUNCTION guestly.doctor_of_host_code(attached regclass) RETURNS TABLE (check_name text, status text, detail text, fix text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    code CONSTANT text := format('SELECT tgname, tgfoid::regproc FROM pg_trigger WHERE tgrelid = %L::regclass AND NOT tgisinternal AND tgname NOT LIKE ''guestly\_%%''; SELECT field, expression FROM guestly.field_map;', attached);
BEGIN
    RETURN QUERY SELECT 'host code', CASE WHEN h.pid IS NOT NULL THEN 'fail' WHEN q.waiting + q.failed > 0 THEN 'warn' ELSE 'ok' END,
        CASE WHEN h.pid IS NOT NULL
                 THEN concat_ws(' ', format('process %s has been running code of table %s since %s', h.pid, attached, h.since), 'for booking ' || h.booking_id)
             WHEN q.waiting + q.failed > 0
                 THEN concat_ws('; ', CASE WHEN q.waiting > 0 THEN format('bookings postponed because code of table %s did not end in time: %s', attached, q.waiting) END,
                                CASE WHEN q.failed > 0 THEN format('bookings failed because code of table %s did not end in time: %s', attached, q.failed) END)
             ELSE 'triggers and mapping expressions end in time' END,
        CASE WHEN h.pid IS NOT NULL
                 THEN format('SELECT pg_terminate_backend(%s); %s -- correct the trigger or the mapping that does not end', h.pid, code)
             WHEN q.waiting + q.failed > 0
                 THEN format('SELECT booking_id, state, due_at, error FROM guestly.queue WHERE error_class = ''internal''; %s -- correct what does not end; to retry one booking immediately: SELECT guestly_sync(%L);', code, q.one) END
    FROM (SELECT count(*) FILTER (WHERE w.state <> 'failed') AS waiting, count(*) FILTER (WHERE w.state = 'failed') AS failed, min(w.booking_id) AS one
          FROM guestly.queue w WHERE w.error_class = 'internal' AND w.error LIKE '%code of the table%did not end within %') q
    LEFT JOIN guestly.host_code() h ON h.since < clock_timestamp() - interval '2 seconds';
    RETURN QUERY SELECT 'sweep', CASE WHEN s.at IS NULL THEN 'ok' ELSE 'warn' END,
        CASE WHEN s.at IS NULL THEN 'the search for paid bookings that no trigger queued ends in time'
             ELSE format('the search for paid bookings that no trigger queued did not end within 20 s (at %s): such bookings are not found', s.at) END,
        CASE WHEN s.at IS NOT NULL THEN guestly.sweep_fix(attached) END
    FROM guestly.sweep_stopped_at() AS s (at) WHERE attached IS NOT NULL;
END $$;

CREATE OR REPLACE FUNCTION guestly.listings_missing() RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF guestly.host_code_hangs() THEN
        RETURN 'cannot read the properties while code of the bookings table does not end';
    END IF;
    RETURN (SELECT 'no listing for ' || string_agg(quote_literal(p.slug), ', ')
            FROM unnest(guestly.properties_without_listing()) AS p (slug));
EXCEPTION WHEN OTHERS THEN
    RETURN 'cannot read the properties: ' || SQLERRM;
END $$;

CREATE OR REPLACE FUNCTION guestly.statuses_missing() RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF guestly.host_code_hangs() THEN
        RETURN 'cannot read the bookings while code of their table does not end';
    END IF;
    RETURN (SELECT 'no Guestly status for ' || string_agg(quote_literal(s.name), ', ' ORDER BY s.name)
            FROM unnest(guestly.paid_booking_statuses()) AS s (name)
            WHERE NOT EXISTS (SELECT FROM guestly.status_map m WHERE lower(m.booking_status) = lower(s.name)));
EXCEPTION WHEN OTHERS THEN
    RETURN 'cannot read the bookings: ' || SQLERRM;
END $$;

CREATE OR REPLACE FUNCTION guestly.doctor_of_mail(settings jsonb, armed boolean) RETURNS TABLE (check_name text, status text, detail text, fix text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    set_up boolean := (settings ->> 'mail')::boolean;
    wrong text := (SELECT w.mail_problem FROM guestly.worker w);
    refused_address CONSTANT text := '(\S+@\S+) was refused: ';
    variables CONSTANT jsonb := '{"smtp_url": "GUESTLY_SMTP_URL", "email_api_url": "EMAIL_API_ENDPOINT", "email_api_key": "EMAIL_API_KEY",
                                  "alert_from": "GUESTLY_ALERT_FROM", "admin_email": "ADMIN_ALERT_EMAIL"}';
    unwanted text; waiting bigint; tried bigint; said text; culprit text;
    -- Start of the mail in progress if it takes longer than a few seconds; a mail of an earlier worker does not count.
    slow timestamptz := (SELECT w.mail_started_at FROM guestly.worker w JOIN guestly.live_worker() l ON w.mail_started_at > l.since
                         WHERE w.mail_started_at < clock_timestamp() - interval '3 seconds');
    again CONSTANT text := 'SELECT pg_reload_conf(); then SELECT guestly_test_alert();';
    correct CONSTANT text := 'ALTER SYSTEM SET guestly_sync.%s = ''…''; (or correct %s) ' || again;
BEGIN
    -- A mail that only some recipients accepted is recorded as sent, so no waiting alert shows the refusal.
    SELECT a.answer INTO unwanted
    FROM (SELECT l.answer FROM guestly.alerts l WHERE l.state = 'sent' ORDER BY l.closed_at DESC LIMIT 1) a
    WHERE EXISTS (SELECT FROM regexp_matches(a.answer, refused_address, 'g') AS m WHERE strpos(settings ->> 'mail_to', m[1]) > 0);
    culprit := coalesce(substring(wrong FROM '(smtp_url|email_api_url|email_api_key|alert_from|admin_email)'), 'smtp_url');
    RETURN QUERY SELECT 'mail',
        CASE WHEN NOT set_up OR wrong IS NULL AND unwanted IS NOT NULL THEN 'warn' WHEN wrong IS NOT NULL THEN 'fail' ELSE 'ok' END,
        CASE WHEN NOT set_up THEN 'not configured: alerts stay in guestly.alerts'
             WHEN wrong IS NOT NULL THEN 'cannot send mail: ' || wrong
             ELSE concat_ws('; the mail server answered: ', 'alerts are mailed to ' || (settings ->> 'mail_to'), unwanted) END,
        CASE WHEN NOT set_up
                 THEN 'Set guestly_sync.admin_email, and guestly_sync.smtp_url or guestly_sync.email_api_url; ' || again
             WHEN wrong IS NOT NULL THEN format(correct, culprit, variables ->> culprit)
             WHEN unwanted IS NOT NULL THEN format(correct, 'admin_email', variables ->> 'admin_email') END;
    SELECT count(*), count(a.answer), max(a.answer) INTO waiting, tried, said FROM guestly.alerts a WHERE a.state = 'waiting';
    culprit := CASE WHEN said ~ refused_address THEN 'admin_email' WHEN said IS NOT NULL THEN 'smtp_url' END;
    RETURN QUERY SELECT 'alerts', CASE WHEN tried > 0 THEN 'fail' WHEN waiting > 0 OR slow IS NOT NULL THEN 'warn' ELSE 'ok' END,
        concat_ws('; ', format('%s waiting to be mailed', waiting), 'a mail has been in progress since ' || slow, 'the mail server answered: ' || said,
                  CASE WHEN waiting > 0 AND NOT armed THEN 'sending is disabled on this server: the database looks like a copy' END),
        CASE WHEN waiting > 0 AND NOT armed THEN 'Do nothing if the original is still running. To make this server the sender: SELECT guestly_arm();'
             WHEN culprit = 'admin_email' THEN format(correct, culprit, variables ->> culprit)
             WHEN tried > 0 OR slow IS NOT NULL THEN 'Fix the mail server, or correct guestly_sync.smtp_url or guestly_sync.email_api_url; ' || again END;
END $$;

CREATE OR REPLACE FUNCTION guestly.doctor_of_roles() RETURNS TABLE (check_name text, status text, detail text, fix text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'roles', CASE WHEN w.extras = '' THEN 'ok' ELSE 'fail' END,
           CASE WHEN w.extras = '' THEN format('%s owns the objects of the extension and has no other privileges', w.role)
                ELSE format('%s owns the objects of the extension and must not have %s', w.role, w.extras) END,
           CASE WHEN w.extras <> '' THEN concat_ws(' ', format('ALTER ROLE %s NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;', w.role), w.revokes) END
    FROM (SELECT quote_ident(r.rolname) AS role,
                 concat_ws(', ', CASE WHEN r.rolcanlogin THEN 'LOGIN' END, CASE WHEN r.rolsuper THEN 'SUPERUSER' END,
                           CASE WHEN r.rolcreatedb THEN 'CREATEDB' END, CASE WHEN r.rolcreaterole THEN 'CREATEROLE' END,
                           CASE WHEN r.rolreplication THEN 'REPLICATION' END, CASE WHEN r.rolbypassrls THEN 'BYPASSRLS' END,
                           'the members ' || string_agg(quote_ident(m.rolname), ', ')) AS extras,
                 string_agg('REVOKE ' || quote_ident(r.rolname) || ' FROM ' || quote_ident(m.rolname) || ';', ' ') AS revokes
          FROM pg_namespace n JOIN pg_roles r ON r.oid = n.nspowner
          LEFT JOIN pg_auth_members a ON a.roleid = r.oid LEFT JOIN pg_roles m ON m.oid = a.member
          WHERE n.nspname = 'guestly'
          GROUP BY r.oid, r.rolname, r.rolcanlogin, r.rolsuper, r.rolcreatedb, r.rolcreaterole, r.rolreplication, r.rolbypassrls) w
$$;

CREATE OR REPLACE FUNCTION guestly.doctor_of_others(bookings regclass) RETURNS TABLE (check_name text, status text, detail text, fix text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    WITH tree AS (
        SELECT c.oid, c.relowner, guestly.owner_of(bookings) AS wanted, guestly.qualified_name(c.oid) AS name FROM pg_class c
        WHERE c.oid = bookings OR c.oid IN (SELECT d.relation FROM guestly.children(bookings) AS d (relation))
    ), found AS (
        SELECT format('table %s is owned by %I', t.name, pg_get_userbyid(t.relowner)) AS problem,
               format('ALTER TABLE %s OWNER TO %I;', t.name, pg_get_userbyid(t.wanted)) AS fix
        FROM tree t WHERE t.relowner <> t.wanted
        UNION ALL
        SELECT format('trigger %I on %s runs a function owned by %I', g.tgname, t.name, r.rolname),
               format('ALTER FUNCTION %s OWNER TO %I;', g.tgfoid::regprocedure, pg_get_userbyid(t.wanted))
        FROM tree t JOIN pg_trigger g ON g.tgrelid = t.oid AND NOT g.tgisinternal AND g.tgname <> ALL (guestly.trigger_names())
        JOIN pg_proc p ON p.oid = g.tgfoid JOIN pg_roles r ON r.oid = p.proowner
        WHERE p.proowner <> t.wanted AND NOT r.rolsuper
    )
    SELECT 'code of others', CASE WHEN count(*) = 0 THEN 'ok' ELSE 'warn' END,
           coalesce(string_agg(f.problem, '; ') || ': this code runs with the privileges of the owner of the bookings table', 'none on the table'),
           string_agg(f.fix, ' ')
    FROM found f
$$;

CREATE OR REPLACE FUNCTION @extschema@.guestly_doctor(online boolean DEFAULT false) RETURNS TABLE (check_name text, status text, detail text, fix text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    now_ record;
    sql_version text := (SELECT extversion FROM pg_extension WHERE extname = 'guestly_sync');
    settings jsonb := guestly.setting_values();
    attached regclass := guestly.attached();
    off text; missing text;
BEGIN
    SELECT * INTO now_ FROM guestly.status_row();
    RETURN QUERY SELECT 'preload', CASE WHEN guestly.is_preloaded() THEN 'ok' ELSE 'fail' END,
        CASE WHEN guestly.is_preloaded() THEN 'loaded at server start' ELSE 'not in shared_preload_libraries: no worker can run' END,
        CASE WHEN NOT guestly.is_preloaded() THEN format('ALTER SYSTEM SET shared_preload_libraries = %s; then restart the server',
            (SELECT string_agg(quote_literal(trim(l)), ', ') FROM unnest(string_to_array(nullif(guestly.preloaded_libraries(), ''), ',') || 'guestly_sync'::text) l)) END;
    RETURN QUERY SELECT 'worker', CASE WHEN now_.worker_pid IS NULL THEN 'fail' ELSE 'ok' END,
        CASE WHEN now_.worker_pid IS NULL THEN 'no worker for this database' ELSE format('process %s, since %s', now_.worker_pid, now_.worker_since) END,
        CASE WHEN now_.worker_pid IS NULL THEN 'See the row preload. Otherwise see the server log: if no background worker slot is free, ALTER SYSTEM SET max_worker_processes = …; (greater than SHOW max_worker_processes) and restart the server. A standby has no worker' END;
    RETURN QUERY SELECT * FROM guestly.doctor_of_host_code(attached);
    RETURN QUERY SELECT 'version', CASE WHEN sql_version = guestly.library_version() THEN 'ok' ELSE 'fail' END,
        format('library %s, SQL objects %s', guestly.library_version(), sql_version),
        CASE WHEN sql_version = guestly.library_version() THEN NULL
             WHEN string_to_array(substring(sql_version FROM '^[0-9.]*[0-9]'), '.')::int[]
                  < string_to_array(substring(guestly.library_version() FROM '^[0-9.]*[0-9]'), '.')::int[]
             THEN 'ALTER EXTENSION guestly_sync UPDATE;'
             ELSE 'Restart the server: it still runs the older library' END;
    RETURN QUERY SELECT 'enabled', CASE WHEN now_.enabled THEN 'ok' ELSE 'warn' END,
        CASE WHEN now_.enabled THEN 'on' ELSE 'off: paid bookings are queued but not sent' END,
        CASE WHEN NOT now_.enabled THEN 'ALTER SYSTEM SET guestly_sync.enabled = on; SELECT pg_reload_conf();' END;
    RETURN QUERY SELECT 'test mode', CASE WHEN now_.test_mode THEN 'warn' ELSE 'ok' END,
        CASE WHEN now_.test_mode THEN 'on: nothing is sent, bookings get ids that begin with test-' ELSE 'off' END,
        CASE WHEN now_.test_mode THEN 'ALTER SYSTEM SET guestly_sync.test_mode = off; SELECT pg_reload_conf();' END;
    RETURN QUERY SELECT 'paused', CASE WHEN now_.paused THEN 'warn' ELSE 'ok' END,
        CASE WHEN now_.paused THEN concat_ws(': ', 'paused', now_.pause_reason) ELSE 'no' END,
        CASE WHEN now_.paused THEN 'SELECT guestly_resume();' END;
    RETURN QUERY SELECT 'armed', CASE WHEN now_.armed THEN 'ok' ELSE 'fail' END,
        CASE WHEN now_.armed THEN 'this server and database may send' ELSE 'sending is disabled on this server: the database looks like a copy' END,
        CASE WHEN NOT now_.armed THEN 'Do nothing if the original is still running. To make this server the sender: SELECT guestly_arm();' END;
    RETURN QUERY SELECT 'attached', CASE WHEN attached IS NULL THEN 'fail' ELSE 'ok' END,
        CASE WHEN attached IS NULL THEN 'no bookings table is attached' ELSE format('%s, since %s', attached, (SELECT a.attached_at FROM guestly.attachment a)) END,
        CASE WHEN attached IS NULL THEN 'SELECT guestly_attach(''bookings'');' END;
    IF attached IS NOT NULL THEN
        off := guestly.triggers_off();
        RETURN QUERY SELECT 'triggers', CASE WHEN off IS NULL THEN 'ok' ELSE 'fail' END,
            coalesce('missing or disabled: ' || off, 'present and enabled'),
            CASE WHEN off IS NOT NULL THEN format('SELECT guestly_attach(%L);', attached) END;
        RETURN QUERY SELECT 'owner', CASE WHEN r.rolsuper THEN 'warn' ELSE 'ok' END,
            CASE WHEN r.rolsuper THEN format('%s is a superuser: triggers and mapping run with superuser privileges', r.rolname) ELSE r.rolname::text END,
            CASE WHEN r.rolsuper THEN format('ALTER TABLE %s OWNER TO …; (a role without special privileges)', attached) END
        FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner WHERE c.oid = attached;
        RETURN QUERY SELECT 'row security', CASE WHEN s.hides THEN 'warn' ELSE 'ok' END,
            CASE WHEN s.hides THEN 'FORCE ROW LEVEL SECURITY is on: policies also apply to the owner, and reading the bookings fails'
                 ELSE 'the owner sees every row' END,
            CASE WHEN s.hides THEN format('ALTER TABLE %s NO FORCE ROW LEVEL SECURITY;', attached) END
        FROM (SELECT c.relrowsecurity AND c.relforcerowsecurity AND NOT r.rolsuper AND NOT r.rolbypassrls AS hides
              FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner WHERE c.oid = attached) s;
        missing := guestly.listings_missing();
        RETURN QUERY SELECT 'listings', CASE WHEN missing IS NULL THEN 'ok' ELSE 'warn' END,
            coalesce(missing, format('%s listings', (SELECT count(*) FROM guestly.listings))),
            CASE WHEN missing LIKE 'no listing for %' THEN 'INSERT INTO guestly.listings (property, listing_id) VALUES (…);'
                 WHEN missing IS NOT NULL THEN 'See the rows host code and sweep, and the privileges of the table''s owner' END;
    END IF;
    RETURN QUERY SELECT * FROM guestly.doctor_of_roles();
    RETURN QUERY SELECT * FROM guestly.doctor_of_others(attached) WHERE attached IS NOT NULL;
    missing := guestly.statuses_missing();
    RETURN QUERY SELECT 'statuses', CASE WHEN missing IS NULL THEN 'ok' ELSE 'warn' END,
        coalesce(missing, format('%s statuses mapped', (SELECT count(*) FROM guestly.status_map))),
        CASE WHEN missing LIKE 'no Guestly status for %' THEN 'INSERT INTO guestly.status_map (booking_status, guestly_status) VALUES (…);'
             WHEN missing IS NOT NULL THEN 'See the rows host code and sweep, and guestly.field_map' END
    WHERE attached IS NOT NULL;
    RETURN QUERY SELECT 'tls', CASE WHEN w.tls_problem IS NULL THEN 'ok' ELSE 'fail' END, coalesce(w.tls_problem, w.tls_roots, 'not checked yet'),
        CASE WHEN w.tls_problem IS NOT NULL THEN 'Correct them in the server''s environment, then restart the server' END
    FROM (VALUES (true)) one LEFT JOIN guestly.worker w ON true;
    RETURN QUERY SELECT 'credentials', CASE WHEN settings ->> 'credentials' IS NULL OR now_.credentials_error IS NOT NULL THEN 'fail' ELSE 'ok' END,
        coalesce('rejected: ' || now_.credentials_error || coalesce('; next attempt at ' || (SELECT w.credentials_until FROM guestly.worker w), ''),
                 'from ' || (settings ->> 'credentials'), 'none found'),
        CASE WHEN settings ->> 'credentials' IS NULL
                 THEN 'Put guestly_client_id and guestly_client_secret into Vault, or GUESTY_CLIENT_ID and GUESTY_CLIENT_SECRET into the server''s environment'
             WHEN now_.credentials_error IS NOT NULL THEN 'Correct them where they are stored, then SELECT pg_reload_conf(); if that is the server''s environment, restart the server instead' END;
    RETURN QUERY SELECT 'secret in a setting', CASE WHEN settings ->> 'credentials' = 'settings' THEN 'warn' ELSE 'ok' END,
        CASE WHEN settings ->> 'credentials' = 'settings' THEN 'the server logs the value of a changed setting at reload' ELSE 'no' END,
        CASE WHEN settings ->> 'credentials' = 'settings' THEN 'Keep the secret in Vault or in the server''s environment' END;
    RETURN QUERY SELECT 'tokens', CASE WHEN now_.tokens_24h >= 5 THEN 'warn' ELSE 'ok' END,
        format('%s requested in 24 hours, Guesty issues 5; %s', now_.tokens_24h, coalesce('the current one expires at ' || now_.token_expires_at, 'none stored')),
        CASE WHEN now_.tokens_24h >= 5 THEN format('Wait until %s, or see why they are rejected: SELECT * FROM guestly.attempts WHERE operation = ''token'';',
            (SELECT min(t.requested_at) + interval '24 hours' FROM guestly.token_requests t WHERE t.requested_at > clock_timestamp() - interval '24 hours')) END;
    RETURN QUERY SELECT 'guestly', CASE WHEN now_.breaker = 'open' THEN 'fail' WHEN l.error IS NOT NULL THEN 'warn' ELSE 'ok' END,
        CASE now_.breaker WHEN 'open' THEN format('unreachable since %s', now_.breaker_since)
             WHEN 'half-open' THEN format('reachable again since %s', now_.breaker_since)
             ELSE coalesce('the last call failed: ' || l.error, 'no known problem') END,
        CASE WHEN now_.breaker = 'open' THEN 'No action needed: retries are automatic. See last_error in guestly.status'
             WHEN l.error IS NOT NULL THEN 'Retries are automatic. If it persists, check the network, guestly_sync.base_url and the certificates of this server' END
    FROM (SELECT (SELECT coalesce(a.error, a.outcome)
                  FROM (SELECT * FROM guestly.attempts c WHERE c.operation <> 'plan' ORDER BY c.started_at DESC LIMIT 1) a
                  WHERE a.outcome IN ('not_sent', 'unavailable')) AS error) l;
    RETURN QUERY SELECT 'payments', CASE WHEN settings ->> 'payment_problem' IS NULL THEN 'ok' ELSE 'warn' END,
        coalesce(settings ->> 'payment_problem', 'recorded in Guestly as ' || (settings ->> 'payment_method'), 'not recorded in Guestly'),
        CASE WHEN settings ->> 'payment_problem' IS NOT NULL
             THEN 'ALTER SYSTEM RESET guestly_sync.payment_method_name; ALTER SYSTEM RESET guestly_sync.payment_path; SELECT pg_reload_conf();' END;
    RETURN QUERY SELECT 'prices', CASE WHEN now_.price_differences = 0 THEN 'ok' ELSE 'warn' END,
        format('%s reservations whose total differs from the amount paid', now_.price_differences),
        CASE WHEN now_.price_differences > 0 THEN 'Correct the price in Guestly if it is wrong: SELECT booking_id, reservation_id, total, paid FROM guestly.reservations WHERE total <> paid;' END;
    RETURN QUERY SELECT 'stale bookings', CASE WHEN count(*) = 0 THEN 'ok' ELSE 'warn' END,
        format('%s waiting longer than guestly_sync.stale_after', count(*)),
        CASE WHEN count(*) > 0 THEN 'SELECT * FROM guestly.queue ORDER BY queued_at; SELECT * FROM guestly_timeline(''…'');' END
    FROM guestly.queue q WHERE q.state <> 'failed' AND (q.backfill IS NULL OR q.arrival <= current_date + 2)
      AND q.queued_at < clock_timestamp() - make_interval(secs => (settings ->> 'stale_after_seconds')::double precision);
    RETURN QUERY SELECT 'failed bookings', CASE WHEN count(*) = 0 THEN 'ok' ELSE 'warn' END, format('%s', count(*)),
        CASE WHEN count(*) > 0 THEN 'SELECT booking_id, error_class, error FROM guestly.queue WHERE state = ''failed''; then SELECT guestly_retry_failed();' END
    FROM guestly.queue q WHERE q.state = 'failed';
    RETURN QUERY SELECT * FROM guestly.doctor_of_mail(settings, now_.armed);
    RETURN QUERY SELECT 'clock', CASE WHEN abs(now_.clock_skew_ms) > 60000 THEN 'warn' ELSE 'ok' END,
        coalesce(round(now_.clock_skew_ms / 1000.0) || ' s difference from Guestly''s clock', 'not compared yet'),
        CASE WHEN abs(now_.clock_skew_ms) > 60000 THEN 'Correct the server''s clock (NTP)' END;
    IF online THEN
        IF guestly.ask_worker() THEN
            RETURN QUERY SELECT 'online', w.online_status, w.online_answer,
                CASE WHEN NOT now_.armed THEN 'Do nothing if the original is still running. To make this server the sender: SELECT guestly_arm();' WHEN w.online_status = 'warn' THEN 'Wait: sending resumes automatically.' WHEN w.online_status <> 'ok' THEN 'Correct the credentials, guestly_sync.base_url or the network, then SELECT pg_reload_conf();' END
            FROM guestly.worker w;
        ELSE
            RETURN QUERY SELECT 'online', 'fail', 'the worker did not respond', 'See the row worker above, and the server log';
        END IF;
    END IF;
END $$;

-- Comments.

COMMENT ON COLUMN guestly.alerts.answer IS 'last answer of the mail server';
COMMENT ON COLUMN guestly.alerts.cause IS 'class and sentence with all numbers masked; the same cause is mailed once a day';
COMMENT ON COLUMN guestly.alerts.mail_key IS 'key of the mail that contains the alert and may have been accepted; a retry uses the same Message-ID';
COMMENT ON COLUMN guestly.alerts.state IS 'waiting: not mailed yet; sent; superseded: replaced by a later alert about the same thing; repeated: nothing new; placed: the booking succeeded before the mail was sent';
COMMENT ON COLUMN guestly.attachment.attached_at IS 'when the table was attached; part of a dump. guestly.installations decides whether this server may send';
COMMENT ON COLUMN guestly.attachment.owner IS 'owner of the bookings table to whom the privileges for the sweep and the triggers were last granted';
COMMENT ON COLUMN guestly.attachment.paid_statuses_seen IS 'payment statuses that have meant paid since then, in lower case; bookings that had a status before it was added count as paid before';
COMMENT ON COLUMN guestly.attachment.watched IS 'columns that the expressions in guestly.field_map read; changes to other columns are ignored';
COMMENT ON COLUMN guestly.attempts.request_id IS 'x-request-id of the answer: Guesty''s support needs it';
COMMENT ON COLUMN guestly.queue.attempts IS 'attempts since the booking was last requeued; look-ups and waiting do not count';
COMMENT ON COLUMN guestly.queue.backfill IS 'the guestly_backfill() call that queued the booking: key of guestly.backfills';
COMMENT ON COLUMN guestly.queue.claim_id IS 'fencing token: an outcome is written only if this is still the claim of its call';
COMMENT ON COLUMN guestly.queue.confirmation_code IS 'confirmation code of the first create; every later call uses it, even if the booking''s reference changes';
COMMENT ON COLUMN guestly.queue.failed_reads IS 'consecutive look-ups or read-backs without a readable answer; not counted during an outage';
COMMENT ON COLUMN guestly.queue.follow_up IS 'queued for a change to an existing reservation; sent after new reservations';
COMMENT ON COLUMN guestly.queue.look_ups IS 'look-ups since uncertain_since that found nothing; for an existing reservation, changes that did not take effect';
COMMENT ON COLUMN guestly.queue.pending_refusal IS 'error class of a refusal that is not confirmed yet: the booking fails with it if a look-up finds nothing';
COMMENT ON COLUMN guestly.queue.queued_in IS 'oid of the table in which the row was queued or last claimed; differs in a restored row, which is looked up before it is sent';
COMMENT ON COLUMN guestly.queue.state IS 'ready: can be sent now; sending: claimed, its call is in flight or prefetched; unknown: a create may have taken effect, look-ups decide; waiting: tried, due again at due_at; failed: needs manual action';
COMMENT ON COLUMN guestly.queue.uncertain_since IS 'since when a create of unknown outcome may be taking effect, or a reservation is not found; decided only after guestly_sync.settle has passed';
COMMENT ON COLUMN guestly.queue.unconfirmed_creates IS 'creates of this booking whose outcome is unknown';
COMMENT ON COLUMN guestly.queue.verify_first IS 'Guestly may already have the booking (an old booking, a copy, a retry): look it up before creating it';
COMMENT ON COLUMN guestly.reservations.adopted IS 'found by a look-up after an unknown outcome, not created again';
COMMENT ON COLUMN guestly.reservations.changed_at IS 'last known create or change; the reservation is not changed again until guestly_sync.settle has passed';
COMMENT ON COLUMN guestly.reservations.ended IS 'cancelled by this extension: if the booking becomes active again, it gets a new reservation';
COMMENT ON COLUMN guestly.reservations.notes IS 'fingerprint of the notes that were written; empty if none were written';
COMMENT ON COLUMN guestly.reservations.paid IS 'amount that the guest had paid when the total was reported';
COMMENT ON COLUMN guestly.reservations.payment IS 'due: to be recorded; absent: Guestly does not list it; sent: may have been recorded; recorded; null: not recorded by this extension';
COMMENT ON COLUMN guestly.reservations.total IS 'total that Guestly reported last, in major currency units; null if no answer contained it';
COMMENT ON COLUMN guestly.reservations.verified IS 'known to belong to the booking: created by this extension, or seen with the booking''s id as its origin; no other reservation is ever changed';
COMMENT ON COLUMN guestly.token.credentials_fingerprint IS 'hash of the credentials and the address that the token was requested with';
COMMENT ON COLUMN guestly.worker.mail_problem IS 'error in the settings for alert mails, found without contacting the mail server';
COMMENT ON COLUMN guestly.worker.mail_started_at IS 'when the alert mail in progress was started; null: none is in progress';
COMMENT ON DOMAIN guestly.queue_state IS 'state of a row in guestly.queue';
COMMENT ON FUNCTION @extschema@.guestly_arm() IS 'allows sending from this server and database; required once on a copy';
COMMENT ON FUNCTION @extschema@.guestly_attach(regclass) IS 'adds columns, indexes and triggers to the bookings table; must be called by its owner; can be repeated at any time';
COMMENT ON FUNCTION @extschema@.guestly_backfill(timestamp with time zone, boolean) IS 'lists paid bookings without a reservation; with dry_run => false, queues them, nearest arrival first';
COMMENT ON FUNCTION @extschema@.guestly_detach() IS 'removes the triggers from the bookings table; must be called by its owner; keeps the columns and their data';
COMMENT ON FUNCTION @extschema@.guestly_doctor(boolean) IS 'checks what sending requires, one row per check, each with its fix; online => true also tries the credentials';
COMMENT ON FUNCTION @extschema@.guestly_pause(text) IS 'stops sending immediately; bookings are still queued; survives a restart';
COMMENT ON FUNCTION @extschema@.guestly_preview(text) IS 'returns the exact request that would be sent: method, path relative to base_url, body; sends nothing';
COMMENT ON FUNCTION @extschema@.guestly_resume() IS 'resumes sending after guestly_pause()';
COMMENT ON FUNCTION @extschema@.guestly_retry_failed(text, bigint) IS 'requeues failed bookings, optionally only those of one error class and at most max_rows; returns their number';
COMMENT ON FUNCTION @extschema@.guestly_sync(text, boolean) IS 'queues one booking now; returns queued, or synced if it already is';
COMMENT ON FUNCTION @extschema@.guestly_test_alert() IS 'sends a test mail; returns the answer of the mail server';
COMMENT ON FUNCTION @extschema@.guestly_timeline(text) IS 'history of one booking; if it was never queued, the reason';
COMMENT ON SCHEMA guestly IS 'guestly_sync: queue, configuration and state of the synchronization with Guestly';
COMMENT ON TABLE guestly.alerts IS 'alerts and the state of their mails; without personal data';
COMMENT ON TABLE guestly.attachment IS 'the bookings table, at most one row; bookings paid before attached_at are not sent automatically';
COMMENT ON TABLE guestly.attempts IS 'one row per call, without personal data, kept for guestly_sync.log_retention; booking_id is null for token requests and look-ups of guestly_doctor()';
COMMENT ON TABLE guestly.backfills IS 'one row per guestly_backfill() that queued bookings, with their number; used for the progress in guestly.status';
COMMENT ON TABLE guestly.changes IS 'known bookings whose data changed; the worker queues those that may differ from Guestly';
COMMENT ON TABLE guestly.field_map IS 'SQL expressions over the booking row b, one per field; checked on write, evaluated as the owner of the bookings table';
COMMENT ON TABLE guestly.installations IS 'servers and databases that may send; a row of another server or database means that the database is a copy: sending is disabled until guestly_arm()';
COMMENT ON TABLE guestly.listings IS 'maps a property (slug or id) to a listing id in Guestly';
COMMENT ON TABLE guestly.old_bookings IS 'bookings that were paid before the table was attached: ignored by the triggers and the sweep, sent only by guestly_sync() or guestly_backfill()';
COMMENT ON TABLE guestly.pause IS 'a row here stops sending: guestly_pause() inserts it, guestly_resume() deletes it';
COMMENT ON TABLE guestly.queue IS 'bookings to be processed; the transaction that records the final outcome deletes the row';
COMMENT ON TABLE guestly.reservations IS 'last confirmed state of each booking''s reservation in Guestly; ids that begin with test- were never sent';
COMMENT ON TABLE guestly.status_map IS 'maps the status of a booking to the status of its reservation';
COMMENT ON TABLE guestly.token IS 'OAuth access token; readable only by the extension''s owner, never dumped';
COMMENT ON TABLE guestly.token_requests IS 'written before each token request: Guesty issues five tokens per client id in 24 hours';
COMMENT ON TABLE guestly.withdrawn IS 'paid bookings that were cancelled before they were sent: ignored by the sweep, sent only by guestly_sync()';
COMMENT ON TABLE guestly.worker IS 'state of the worker that survives restarts; one row, not part of a dump';
COMMENT ON VIEW guestly.known_bookings IS 'bookings that are known to the extension, one row per reason: queued, reservation, test_reservation, paid_before, withdrawn';
COMMENT ON VIEW guestly.status IS 'one row: the worker, whether it may send, length and age of the queue, rate limits and circuit breaker, last success and last error';

-- Owner and privileges come last in every script: guestly_owner owns everything; PUBLIC has no privileges; guestly_admin and service_role
-- may call the administrator's functions. Upgrade scripts repeat this file, so it defines nothing and can run again.

-- Nothing is created from here on. The extension's schema leaves the search path, because other roles may have created operators in it.
SET LOCAL search_path = pg_catalog, pg_temp;

-- The roles. They are shared by all databases of the server, so they may already exist.
DO $$
DECLARE
    own_level CONSTANT text := pg_catalog.current_setting('client_min_messages');
    wrong text; members text;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'guestly_owner') THEN
        CREATE ROLE guestly_owner NOLOGIN NOINHERIT;
        COMMENT ON ROLE guestly_owner IS 'owns the objects of guestly_sync; its functions and its worker run with the privileges of this role';
    END IF;
    SELECT pg_catalog.concat_ws(', ', CASE WHEN r.rolcanlogin THEN 'LOGIN' END, CASE WHEN r.rolsuper THEN 'SUPERUSER' END,
               CASE WHEN r.rolcreatedb THEN 'CREATEDB' END, CASE WHEN r.rolcreaterole THEN 'CREATEROLE' END,
               CASE WHEN r.rolreplication THEN 'REPLICATION' END, CASE WHEN r.rolbypassrls THEN 'BYPASSRLS' END,
               (SELECT 'the members ' || pg_catalog.string_agg(pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(m.member)), ' and ')
                FROM pg_catalog.pg_auth_members m WHERE m.roleid = r.oid),
               (SELECT 'membership in ' || pg_catalog.string_agg(pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(m.roleid)), ' and ')
                FROM pg_catalog.pg_auth_members m WHERE m.member = r.oid))
    INTO wrong FROM pg_catalog.pg_roles r WHERE r.rolname = 'guestly_owner';
    IF wrong <> '' THEN
        RAISE EXCEPTION 'the role guestly_owner must have no login, no attributes, no members and no memberships'
            USING ERRCODE = 'object_not_in_prerequisite_state', DETAIL = pg_catalog.format('It has %s.', wrong),
                  HINT = 'It will own the extension''s objects. Remove these: ALTER ROLE guestly_owner NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS; and REVOKE the memberships.';
    END IF;
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'guestly_admin') THEN
        CREATE ROLE guestly_admin NOLOGIN;
        COMMENT ON ROLE guestly_admin IS 'may call the functions of guestly_sync and read guestly.status, queue and attempts';
    ELSE
        SELECT pg_catalog.string_agg(pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(m.member)), ', ') INTO members
        FROM pg_catalog.pg_auth_members m WHERE m.roleid = (SELECT r.oid FROM pg_catalog.pg_roles r WHERE r.rolname = 'guestly_admin');
        -- An upgrade grants it nothing new.
        IF (members IS NOT NULL OR (SELECT r.rolcanlogin FROM pg_catalog.pg_roles r WHERE r.rolname = 'guestly_admin'))
           AND (SELECT n.nspowner::pg_catalog.regrole::text FROM pg_catalog.pg_namespace n WHERE n.nspname = 'guestly') <> 'guestly_owner' THEN
            -- Extension scripts run with client_min_messages = warning.
            PERFORM pg_catalog.set_config('client_min_messages', 'notice', true);
            RAISE NOTICE 'guestly_sync: role guestly_admin already exists and can now call the functions of the extension; %',
                pg_catalog.concat_ws(', ', CASE WHEN (SELECT r.rolcanlogin FROM pg_catalog.pg_roles r WHERE r.rolname = 'guestly_admin') THEN 'it can log in' END,
                                     'its members: ' || members);
            PERFORM pg_catalog.set_config('client_min_messages', own_level, true);
        END IF;
    END IF;
END $$;

-- Owner and privileges of every object that guestly_owner does not own yet: all objects at CREATE EXTENSION, the new ones in an upgrade.
-- Privileges that an administrator granted on the others are kept.
DO $$
DECLARE
    callable CONSTANT text[] := ARRAY['guestly_sync', 'guestly_retry_failed', 'guestly_preview', 'guestly_attach', 'guestly_detach',
        'guestly_arm', 'guestly_backfill', 'guestly_pause', 'guestly_resume', 'guestly_timeline', 'guestly_test_alert', 'guestly_doctor', 'status_row', 'backfill_row'];
    readable CONSTANT text[] := ARRAY['status', 'queue', 'attempts'];
    owner CONSTANT oid := (SELECT r.oid FROM pg_catalog.pg_roles r WHERE r.rolname = 'guestly_owner');
    object record;
    grantee record;
    admin name;
BEGIN
    -- Its functions call those in the extension's schema, and it grants USAGE on that schema to the owner of an attached table. Granted
    -- even if PUBLIC has USAGE, which may be revoked later.
    GRANT USAGE ON SCHEMA @extschema@ TO guestly_owner WITH GRANT OPTION;
    FOR object IN
        WITH member AS (
            SELECT d.classid, d.objid FROM pg_catalog.pg_depend d
            WHERE d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.deptype = 'e'
              AND d.refobjid = (SELECT e.oid FROM pg_catalog.pg_extension e WHERE e.extname = 'guestly_sync')
        )
        SELECT 'SCHEMA' AS kind, n.nspname::text AS name, n.oid, true AS has_own_owner, 'USAGE' AS granted
        FROM member m JOIN pg_catalog.pg_namespace n ON m.classid = 'pg_catalog.pg_namespace'::pg_catalog.regclass AND n.oid = m.objid
        WHERE n.nspowner <> owner
        UNION ALL
        -- The owner of a column's sequence changes with its table.
        SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, c.oid::pg_catalog.regclass::text, c.oid,
               c.relkind <> 'S' OR NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
                                               AND d.objid = c.oid AND d.deptype IN ('a', 'i')),
               CASE WHEN c.relname = ANY (readable) THEN 'SELECT' END
        FROM member m JOIN pg_catalog.pg_class c ON m.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND c.oid = m.objid
        WHERE c.relowner <> owner AND c.relkind IN ('r', 'v', 'S')
        UNION ALL
        SELECT 'ROUTINE', p.oid::pg_catalog.regprocedure::text, p.oid, true, CASE WHEN p.proname = ANY (callable) THEN 'EXECUTE' END
        FROM member m JOIN pg_catalog.pg_proc p ON m.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND p.oid = m.objid
        WHERE p.proowner <> owner
        UNION ALL
        SELECT 'DOMAIN', t.oid::pg_catalog.regtype::text, t.oid, true, NULL
        FROM member m JOIN pg_catalog.pg_type t ON m.classid = 'pg_catalog.pg_type'::pg_catalog.regclass AND t.oid = m.objid
        WHERE t.typowner <> owner AND t.typtype = 'd'
    LOOP
        -- The owner first, because grants are made by the owner.
        IF object.has_own_owner THEN
            EXECUTE pg_catalog.format('ALTER %s %s OWNER TO guestly_owner', object.kind, object.name);
        END IF;
        -- Default privileges (as on Supabase) may have granted more than EXECUTE to PUBLIC. A role with CREATE on the schema guestly could
        -- add functions there that match a call better than the extension's own.
        FOR grantee IN
            SELECT DISTINCT CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(g.grantee)) END AS name
            FROM (SELECT n.nspacl, n.nspowner FROM pg_catalog.pg_namespace n WHERE object.kind = 'SCHEMA' AND n.oid = object.oid
                  UNION ALL SELECT c.relacl, c.relowner FROM pg_catalog.pg_class c WHERE object.kind IN ('TABLE', 'SEQUENCE') AND c.oid = object.oid
                  UNION ALL SELECT coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner)), p.proowner
                  FROM pg_catalog.pg_proc p WHERE object.kind = 'ROUTINE' AND p.oid = object.oid) AS a (acl, owner),
                 pg_catalog.aclexplode(a.acl) g
            WHERE g.grantee <> a.owner
        LOOP
            EXECUTE pg_catalog.format('REVOKE ALL ON %s %s FROM %s', object.kind, object.name, grantee.name);
        END LOOP;
        FOREACH admin IN ARRAY ARRAY['guestly_admin', 'service_role'] LOOP
            IF object.granted IS NOT NULL AND EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = admin) THEN
                EXECUTE pg_catalog.format('GRANT %s ON %s %s TO %I', object.granted, object.kind, object.name, admin);
                IF object.kind = 'SCHEMA' THEN
                    EXECUTE pg_catalog.format('GRANT USAGE ON SCHEMA @extschema@ TO %I', admin);
                END IF;
            END IF;
        END LOOP;
    END LOOP;
END $$;

-- Tables whose rows are dumped: configuration, queue and reservations; not the token, and nothing that is specific to this server.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['attachment', 'queue', 'reservations', 'attempts', 'listings', 'status_map', 'field_map',
                                'old_bookings', 'backfills', 'withdrawn', 'changes', 'installations', 'pause'] LOOP
        PERFORM pg_catalog.pg_extension_config_dump(pg_catalog.format('guestly.%I', name)::pg_catalog.regclass, '');
    END LOOP;
END $$;

-- Rows.

-- The trigger of this table grants the owner of the bookings table SELECT on guestly.known_bookings.
UPDATE guestly.attachment SET bookings = bookings;
