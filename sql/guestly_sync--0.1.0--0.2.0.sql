\echo Use "ALTER EXTENSION guestly_sync UPDATE" to load this file. \quit
-- From 0.1.0 to 0.2.0.

-- The triggers are made anew at the end: no sale may hold the bookings by then and wait for a table of ours.
DO $$
DECLARE
    own_path CONSTANT text := pg_catalog.current_setting('search_path');
    grantee record; attached regclass; foreign_function text;
BEGIN
    -- Whoever may create objects in the extension's schema may have put operators there.
    PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    -- 0.1.0 left to others what default privileges had given them on our schema and its sequences. Who may create there could have
    -- added functions that match a call better than ours.
    FOR grantee IN
        SELECT DISTINCT c.oid::regclass AS relation, CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END AS name
        FROM pg_class c, aclexplode(c.relacl) g WHERE c.relnamespace = 'guestly'::regnamespace AND c.relkind = 'S' AND g.grantee <> c.relowner
    LOOP
        EXECUTE format('REVOKE ALL ON SEQUENCE %s FROM %s', grantee.relation, grantee.name);
    END LOOP;
    FOR grantee IN
        SELECT CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END AS name,
               EXISTS (SELECT FROM pg_class c, aclexplode(c.relacl) r WHERE c.relnamespace = n.oid AND c.relkind <> 'S' AND r.grantee = g.grantee) AS may_read
        FROM pg_namespace n, aclexplode(n.nspacl) g WHERE n.nspname = 'guestly' AND g.grantee <> n.nspowner
        GROUP BY n.oid, g.grantee
    LOOP
        EXECUTE format('REVOKE CREATE ON SCHEMA guestly FROM %s', grantee.name);
        IF NOT grantee.may_read THEN
            EXECUTE format('REVOKE USAGE ON SCHEMA guestly FROM %s', grantee.name);
        END IF;
    END LOOP;
    SELECT min(p.oid::regprocedure::text) INTO foreign_function FROM pg_proc p
    WHERE p.pronamespace = 'guestly'::regnamespace AND NOT EXISTS (
        SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e');
    IF foreign_function IS NOT NULL THEN
        RAISE EXCEPTION 'the function % is not part of guestly_sync, and would run as superuser', foreign_function
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'See who made it, and drop it.';
    END IF;
    attached := (SELECT to_regclass(a.bookings) FROM guestly.attachment a);
    IF attached IS NOT NULL THEN
        -- Behind us every sale would wait as well: try again if it fails. Ends with the script.
        SET LOCAL lock_timeout = '2s';
        EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', attached);
    END IF;
    PERFORM set_config('search_path', own_path, true);
END $$;

-- PostgreSQL reads and plans the constraints of a table anew in each statement, which cost a sale a third of what it pays for its row;
-- and a sale pays for each index.
DROP INDEX guestly.queue_sending, guestly.queue_age, guestly.queue_failed;
CREATE INDEX queue_claimed ON guestly.queue (claim) WHERE claim IS NOT NULL;
CREATE DOMAIN guestly.queue_state AS text CONSTRAINT queue_state_known CHECK (VALUE IN ('ready', 'sending', 'unknown', 'waiting', 'failed'));
COMMENT ON DOMAIN guestly.queue_state IS 'where a booking of guestly.queue stands';
ALTER TABLE guestly.queue
    DROP CONSTRAINT queue_state_check, DROP CONSTRAINT queue_attempts_check, DROP CONSTRAINT queue_check, DROP CONSTRAINT queue_check1,
    ALTER COLUMN state TYPE guestly.queue_state;
COMMENT ON COLUMN guestly.queue.state IS 'ready: may go now; sending: claimed, its call is in flight or among the next to go; unknown: a create may have taken effect, look-ups decide; waiting: tried, due again at due_at; failed: a person has to look';
-- A sale goes before the changes of what Guestly holds already.
ALTER TABLE guestly.queue ADD COLUMN follow_up boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN guestly.queue.follow_up IS 'queued for a change of what Guestly holds: goes after what it does not hold yet';
DROP INDEX guestly.queue_ready;
CREATE INDEX queue_ready ON guestly.queue (follow_up, arrival NULLS FIRST, queued_at) WHERE state = 'ready';
-- A row that a dump brought names the table that it came from: it says so as the number of a table, which is another one here.
ALTER TABLE guestly.queue ADD COLUMN home oid NOT NULL DEFAULT 'guestly.queue'::pg_catalog.regclass::pg_catalog.oid;
COMMENT ON COLUMN guestly.queue.home IS 'the table in which it was queued or last claimed: a restored row names another one, and Guestly is asked first';

ALTER TABLE guestly.attachment ADD COLUMN watched text[] NOT NULL DEFAULT '{}', ADD COLUMN paid_words text[] NOT NULL DEFAULT '{}';
COMMENT ON COLUMN guestly.attachment.paid_words IS 'payment statuses that meant paid since then, in lower case: bookings that read so when a word was new are old';
COMMENT ON COLUMN guestly.attachment.watched IS 'columns that the expressions of guestly.field_map read: a change of others queues nothing';

ALTER TABLE guestly.reservations
    ADD COLUMN notes text, ADD COLUMN payment text CHECK (payment IN ('due', 'absent', 'sent', 'recorded')),
    ADD COLUMN total numeric, ADD COLUMN paid numeric, ADD COLUMN verified boolean NOT NULL DEFAULT false, ADD COLUMN ended boolean, ADD COLUMN changed_at timestamptz;
COMMENT ON COLUMN guestly.reservations.notes IS 'a fingerprint of the notes that we wrote, empty where we wrote none';
COMMENT ON COLUMN guestly.reservations.payment IS 'due: to be recorded; absent: Guestly was asked and does not list it; sent: it may have been recorded; recorded; null: not recorded from here';
COMMENT ON COLUMN guestly.reservations.total IS 'the total that Guestly reported last, in major units; null where no answer told it';
COMMENT ON COLUMN guestly.reservations.paid IS 'what the guest had paid when the total was reported';
-- What guestly.status counts.
CREATE INDEX reservations_price ON guestly.reservations (booking_id) WHERE total <> paid;
COMMENT ON COLUMN guestly.reservations.verified IS 'seen to be ours: made by us, or shown with our booking''s id as its origin; nothing else is ever changed';
COMMENT ON COLUMN guestly.reservations.ended IS 'it was we who cancelled it: a booking that comes back to life gets a new reservation';
COMMENT ON COLUMN guestly.reservations.changed_at IS 'when it was last created or changed, as far as we know: left in peace for guestly_sync.settle';
-- Created here, or adopted after a look at its origin; what came with the table of bookings has no code.
-- Stays to come, which are compared with the bookings once a day.
CREATE INDEX reservations_ahead ON guestly.reservations (check_out, booking_id) WHERE verified;
UPDATE guestly.reservations SET verified = true, changed_at = recorded_at WHERE confirmation_code <> '';

CREATE TABLE guestly.changes (
    booking_id text        NOT NULL,
    arrival    date,
    changed_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
-- Filled by sales and emptied by the worker within moments.
ALTER TABLE guestly.changes SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
COMMENT ON TABLE guestly.changes IS 'known bookings whose data changed: the worker queues those of which Guestly may hold something else';

COMMENT ON TABLE guestly.attempts IS 'one row per call, without personal data, kept for guestly_sync.log_retention; booking_id is null for token requests and the doctor''s look-ups';
ALTER TABLE guestly.alerts ADD COLUMN reference text;
ALTER TABLE guestly.alerts DROP CONSTRAINT alerts_kind_check;
ALTER TABLE guestly.alerts ADD CONSTRAINT alerts_kind_check
    CHECK (kind IN ('booking_failed', 'dates_taken', 'stale', 'two_reservations', 'outage',
                    'recovered', 'credentials', 'token_cap', 'deleted', 'price_differs'));
ALTER TABLE guestly.worker ADD COLUMN credentials_class text, ADD COLUMN mail_problem text, ADD COLUMN tls_roots text, ADD COLUMN tls_problem text;
COMMENT ON COLUMN guestly.worker.mail_problem IS 'what is wrong with the settings of alert mails, before anybody is called';

ALTER TABLE guestly.queue ADD COLUMN backfill timestamptz;
COMMENT ON COLUMN guestly.queue.backfill IS 'the guestly_backfill() that queued it: its row of guestly.backfills';
CREATE TABLE guestly.backfills (
    started_at timestamptz PRIMARY KEY,
    bookings   bigint      NOT NULL
);
COMMENT ON TABLE guestly.backfills IS 'one row per guestly_backfill() that queued bookings, and how many: what guestly.status measures progress by';

DROP FUNCTION guestly.add_triggers(regclass, text, text, text);
DROP FUNCTION guestly.certificate_store();
DROP FUNCTION guestly.queue_afresh(text[], date[], boolean, boolean);
DROP FUNCTION guestly.paid_bookings(double precision);

CREATE FUNCTION guestly.paid_bookings(since double precision DEFAULT NULL)
RETURNS TABLE (booking_id text, reservation_id text, arrival text, departure text, reference text, payment_status text)
LANGUAGE c AS 'MODULE_PATHNAME', 'paid_bookings_wrapper';


-- What the columns say; only fields that have no row yet are filled.
CREATE OR REPLACE FUNCTION guestly.fill_field_map(bookings regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    property text := guestly.first_column(bookings, 'property_id', 'listing_id', 'apartment_id', 'unit_id');
    -- Null, and so are the expressions made of it, where the table has no such column.
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
        ('guest_first_name', guestly.column_expression(bookings, 'split_part(' || full_name || ', '' '', 1)',
                                                       'guest_first_name', 'first_name')),
        ('guest_last_name', guestly.column_expression(bookings,
            'coalesce(nullif(regexp_replace(' || full_name || ', ''^\S+\s*'', ''''), ''''), ' || full_name || ')', 'guest_last_name', 'last_name')),
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
        ('country', guestly.column_expression(bookings, NULL, 'guest_country', 'country'))
    ) AS f (field, expression)
    WHERE f.expression IS NOT NULL
    ON CONFLICT (field) DO NOTHING;
END $$;

-- One index for the sweep, two for the administrator's questions; left out where one like it exists.
CREATE OR REPLACE FUNCTION guestly.add_indexes(bookings regclass, payment_column text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    wanted record;
    name text;
    -- As the sweep compares it. The text of an enum is not immutable to the server: there the predicate alone has to do.
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
            EXECUTE format('CREATE INDEX %I ON %s %s %s', name, bookings, wanted.keys, wanted.predicate);
        END IF;
    END LOOP;
END $$;

CREATE OR REPLACE FUNCTION guestly_attach(bookings regclass DEFAULT 'bookings'::text::regclass) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    name text := guestly.qualified_name(bookings);
    key record;
    payment text := guestly.first_column(bookings, 'payment_status');
    arrival text;
    since timestamptz;
    former text := (SELECT a.bookings FROM guestly.attachment a);
BEGIN
    IF former <> name AND to_regclass(former) IS NOT NULL THEN
        RAISE EXCEPTION 'the table % is attached already', former
            USING ERRCODE = 'object_not_in_prerequisite_state', DETAIL = format('Asked to attach %s.', name),
                  HINT = 'Call SELECT guestly_detach() first: one table of bookings is supported.';
    END IF;
    IF (SELECT c.relkind FROM pg_class c WHERE c.oid = bookings) NOT IN ('r', 'p') THEN
        RAISE EXCEPTION '% is not a table', name
            USING ERRCODE = 'wrong_object_type',
                  DETAIL = format('It is a %s.', CASE (SELECT c.relkind FROM pg_class c WHERE c.oid = bookings)
                                                     WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table' ELSE 'relation of another kind' END),
                  HINT = 'Attach the table itself, not a view over it.';
    END IF;
    key := guestly.booking_key(bookings);
    IF payment IS NULL THEN
        RAISE EXCEPTION 'the table % has no column payment_status', name
            USING ERRCODE = 'undefined_column',
                  DETAIL = format('Its columns are %s.', (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) FROM pg_attribute a
                                                          WHERE a.attrelid = bookings AND a.attnum > 0 AND NOT a.attisdropped)),
                  HINT = 'Attach the table whose payment_status says that a booking is paid.';
    END IF;
    PERFORM guestly.add_columns(bookings);
    PERFORM guestly.add_indexes(bookings, payment);
    -- Only a date (or a time) can put a queue in order of arrival.
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
        PERFORM guestly.take_stock(bookings);
    END IF;
    PERFORM guestly.remember_attachment(bookings);
    PERFORM guestly.add_triggers(bookings, key.name, payment, arrival, guestly.watched_columns(bookings, payment));
    PERFORM guestly.wake_worker();
END $$;
COMMENT ON FUNCTION guestly_attach(regclass) IS 'adds columns, indexes and triggers to the table of bookings; may be called again at any time';

-- At the attachment: what was paid before is old, what Guestly holds already is known, and what waited when a former
-- CREATE EXTENSION was dropped is queued again, to be looked up first.
CREATE OR REPLACE FUNCTION guestly.take_stock(bookings regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    waiting text[] := guestly.remembered_waiting(bookings);
    key text := (SELECT a.key_column FROM guestly.attachment a);
BEGIN
    -- Whether paid at this moment or not: it may be paid again. No type but these: another's cast would run with our rights.
    IF EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = bookings AND a.attname = 'guestly_reservation_id'
               AND a.atttypid IN ('text'::regtype, 'varchar'::regtype)) THEN
        EXECUTE format('INSERT INTO guestly.reservations (booking_id, reservation_id, confirmation_code, adopted)
                        SELECT b.%I::text, b.guestly_reservation_id, %L, true FROM %s b WHERE b.guestly_reservation_id <> %L
                        ON CONFLICT (booking_id) DO NOTHING', key, '', bookings, '');
    END IF;
    -- A change or a cancellation of these waited.
    INSERT INTO guestly.changes (booking_id)
    SELECT r.booking_id FROM guestly.reservations r WHERE r.booking_id = ANY (waiting);
    -- A call may have been in flight a moment ago: nothing is created before it would be seen.
    INSERT INTO guestly.queue (booking_id, arrival, look_up_first, doubt_since)
    SELECT p.booking_id, p.arrival::date, true, clock_timestamp() FROM guestly.paid_bookings() p
    WHERE p.reservation_id IS NULL AND p.booking_id = ANY (waiting)
    ON CONFLICT (booking_id) DO NOTHING;
    INSERT INTO guestly.old_bookings (booking_id)
    SELECT p.booking_id FROM guestly.paid_bookings() p
    WHERE p.reservation_id IS NULL AND NOT EXISTS (SELECT FROM guestly.queue q WHERE q.booking_id = p.booking_id)
    ON CONFLICT (booking_id) DO NOTHING;
    UPDATE guestly.attachment
    SET paid_words = ARRAY (SELECT w.word FROM jsonb_array_elements_text(guestly.setting_values() -> 'paid_statuses') AS w (word));
END $$;

-- Waiting bookings are named up to a number that a comment may well hold; beyond it guestly_backfill() finds them.
CREATE OR REPLACE FUNCTION guestly.remember_attachment(bookings regclass, with_waiting boolean DEFAULT false) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    since text := (SELECT to_char(a.attached_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') FROM guestly.attachment a);
    waiting jsonb := (SELECT jsonb_agg(q.booking_id) FROM (
        SELECT booking_id FROM guestly.queue WHERE with_waiting UNION SELECT booking_id FROM guestly.changes WHERE with_waiting LIMIT 10000) q);
BEGIN
    EXECUTE format('COMMENT ON COLUMN %s.guestly_sync_attempts IS %L', bookings,
        'guestly_sync: tries since the booking was last queued; attached since ' || since || coalesce('; waiting: ' || waiting::text, ''));
END $$;

-- The sweep reads bookings and these tables in one statement, as the owner of the bookings. A trigger, because a dump does
-- not take rights along that CREATE EXTENSION gave: the row of the attachment, restored, gives them again.
CREATE OR REPLACE FUNCTION guestly.let_owner_read() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    owner name := (SELECT pg_get_userbyid(c.relowner) FROM pg_class c WHERE c.oid = to_regclass(NEW.bookings));
BEGIN
    IF owner IS NOT NULL THEN
        EXECUTE format('GRANT USAGE ON SCHEMA guestly TO %1$I; '
                       'GRANT SELECT ON guestly.queue, guestly.old_bookings, guestly.withdrawn, guestly.reservations, guestly.changes TO %1$I', owner);
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION guestly.trigger_names() RETURNS name[]
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT ARRAY['guestly_update', 'guestly_insert', 'guestly_delete', 'guestly_update_end', 'guestly_insert_end', 'guestly_delete_end']::name[]
$$;

-- What the mapping reads, by number of the column; written in Rust.
CREATE  FUNCTION guestly."mapped_columns"() RETURNS smallint[] /* Vec < i16 > */
STRICT
LANGUAGE c /* Rust */
AS 'MODULE_PATHNAME', 'mapped_columns_wrapper';

-- The columns that the mapping reads. An expression over the whole row reads all of them; the five that the worker writes never
-- count.
CREATE OR REPLACE FUNCTION guestly.watched_columns(bookings regclass, payment_column text) RETURNS text[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT array_agg(a.attname::text ORDER BY a.attnum)
    FROM pg_attribute a CROSS JOIN (SELECT guestly.mapped_columns() AS numbers) m
    WHERE a.attrelid = bookings AND a.attnum > 0 AND NOT a.attisdropped
      AND a.attname NOT IN ('guestly_reservation_id', 'guestly_sync_status', 'guestly_sync_error', 'guestly_synced_at', 'guestly_sync_attempts')
      AND (a.attname = payment_column OR a.attnum = ANY (m.numbers) OR 0 = ANY (m.numbers))
$$;

-- "OLD and NEW differ in one of these": as text where the type has no equality (json, point, xml) or one outside of pg_catalog,
-- which is not on the path here (hstore, geometry).
CREATE OR REPLACE FUNCTION guestly.is_changed(bookings regclass, columns text[]) RETURNS text
LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$
    SELECT string_agg(format(CASE WHEN EXISTS (SELECT FROM pg_opclass o JOIN pg_am m ON m.oid = o.opcmethod JOIN pg_type i ON i.oid = o.opcintype
                                               WHERE m.amname = 'btree' AND o.opcdefault AND o.opcintype IN (a.atttypid, t.typbasetype)
                                                 AND i.typnamespace = 'pg_catalog'::regnamespace)
                                       OR t.typtype = 'e' OR a.atttypid = 'varchar'::regtype
                                  THEN 'OLD.%1$I IS DISTINCT FROM NEW.%1$I'
                                  ELSE 'OLD.%1$I::text IS DISTINCT FROM NEW.%1$I::text' END, a.attname), ' OR ' ORDER BY a.attnum)
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
    WHERE a.attrelid = bookings AND a.attname = ANY (columns)
$$;

-- Three row triggers note a booking that was paid, changed or deleted, three statement triggers write what was noted.
-- Nothing fires for updates of other columns. Making them locks the table: not if they are there already, and not for long.
CREATE OR REPLACE FUNCTION guestly.add_triggers(bookings regclass, key_column text, payment_column text, arrival_column text, columns text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s'
AS $$
DECLARE
    -- As pg_trigger has them.
    stored text := format(E'%s\\000%s\\000%s\\000', key_column, payment_column, coalesce(arrival_column, ''));
    arguments text := format('(%L, %L, %L)', key_column, payment_column, coalesce(arrival_column, ''));
    names text := (SELECT string_agg(quote_ident(c.name), ', ') FROM unnest(columns) AS c (name));
    wanted record;
BEGIN
    -- They are there, at work, and watch the same: nothing is locked.
    IF (SELECT a.watched FROM guestly.attachment a) = columns
       AND (SELECT count(*) FROM pg_trigger t WHERE t.tgrelid = bookings AND t.tgname = ANY (guestly.trigger_names()) AND t.tgenabled IN ('O', 'A')
            AND (t.tgname LIKE '%\_end' OR encode(t.tgargs, 'escape') = stored)) = 6 THEN
        RETURN;
    END IF;
    FOR wanted IN
        SELECT * FROM (VALUES
            ('guestly_update', format('AFTER UPDATE ON %s FOR EACH ROW WHEN (%s)', bookings, guestly.is_changed(bookings, columns)),
             '@extschema@.guestly_note_paid' || arguments),
            ('guestly_insert', format('AFTER INSERT ON %s FOR EACH ROW', bookings), '@extschema@.guestly_note_paid' || arguments),
            ('guestly_delete', format('AFTER DELETE ON %s FOR EACH ROW', bookings), '@extschema@.guestly_note_paid' || arguments),
            ('guestly_update_end', format('AFTER UPDATE OF %s ON %s FOR EACH STATEMENT', names, bookings), '@extschema@.guestly_queue_paid()'),
            ('guestly_insert_end', format('AFTER INSERT ON %s FOR EACH STATEMENT', bookings), '@extschema@.guestly_queue_paid()'),
            ('guestly_delete_end', format('AFTER DELETE ON %s FOR EACH STATEMENT', bookings), '@extschema@.guestly_queue_paid()')
        ) AS t (name, clause, call)
    LOOP
        IF EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = bookings AND t.tgname = wanted.name) THEN
            EXECUTE format('DROP TRIGGER %I ON %s', wanted.name, bookings);
        END IF;
        EXECUTE format('CREATE TRIGGER %I %s EXECUTE FUNCTION %s', wanted.name, wanted.clause, wanted.call);
        -- So that a plain DROP EXTENSION works.
        EXECUTE format('ALTER TRIGGER %I ON %s DEPENDS ON EXTENSION guestly_sync', wanted.name, bookings);
    END LOOP;
    UPDATE guestly.attachment a SET watched = columns WHERE a.watched IS DISTINCT FROM columns;
EXCEPTION WHEN lock_not_available THEN
    -- Behind us every sale would wait as well.
    RAISE EXCEPTION 'somebody holds the table % for longer than two seconds', bookings
        USING ERRCODE = 'lock_not_available', HINT = 'Try again when that transaction has ended: see pg_stat_activity.';
END $$;

-- The mapping was changed: the triggers watch what it reads now. They are made again only if that is not the same, since
-- it locks the table. Not while a dump is restored, which brings the triggers along.
CREATE OR REPLACE FUNCTION guestly.watch_field_map() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    attached record;
    columns text[];
BEGIN
    SELECT to_regclass(a.bookings) AS bookings, a.key_column, a.payment_column, a.arrival_column, a.watched INTO attached FROM guestly.attachment a;
    -- Nothing is watched yet: guestly_attach() is about to see to it.
    IF attached.bookings IS NULL OR cardinality(attached.watched) = 0 OR NOT current_setting('check_function_bodies')::boolean THEN
        RETURN NULL;
    END IF;
    BEGIN
        -- Those of a restored dump, and of whoever turned the check off, were never looked at.
        PERFORM guestly.check_expression(m.field, m.expression) FROM guestly.field_map m;
        columns := guestly.watched_columns(attached.bookings, attached.payment_column);
    EXCEPTION WHEN OTHERS THEN
        -- Another expression is broken, say for a column that is gone: they are mended one by one.
        RAISE WARNING 'the triggers on % go on watching what they did: %', attached.bookings, SQLERRM
            USING HINT = 'An expression in guestly.field_map is wrong: correct it too.';
        RETURN NULL;
    END;
    IF columns IS DISTINCT FROM attached.watched THEN
        PERFORM guestly.add_triggers(attached.bookings, attached.key_column, attached.payment_column, attached.arrival_column, columns);
    END IF;
    RETURN NULL;
END $$;

-- What no trigger queued is queued now: once the table is attached again, it would count as paid before.
CREATE OR REPLACE FUNCTION guestly_detach() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    attached regclass := (SELECT to_regclass(a.bookings) FROM guestly.attachment a);
    name text;
BEGIN
    IF attached IS NOT NULL THEN
        BEGIN
            INSERT INTO guestly.queue (booking_id, arrival, look_up_first)
            SELECT p.booking_id, p.arrival::date, true FROM guestly.paid_bookings() p
            WHERE p.reservation_id IS NULL
              AND NOT EXISTS (SELECT FROM guestly.old_bookings o WHERE o.booking_id = p.booking_id)
              AND NOT EXISTS (SELECT FROM guestly.withdrawn w WHERE w.booking_id = p.booking_id)
              AND NOT EXISTS (SELECT FROM guestly.reservations r WHERE r.booking_id = p.booking_id)
            ON CONFLICT (booking_id) DO NOTHING;
        EXCEPTION WHEN OTHERS THEN
            RAISE WARNING 'guestly_sync: paid bookings that no trigger queued are not looked for: %', SQLERRM
                USING HINT = 'Once the table is attached again, SELECT * FROM guestly_backfill() lists them.';
        END;
    END IF;
    FOREACH name IN ARRAY guestly.trigger_names() LOOP
        IF EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = attached AND t.tgname = name) THEN
            EXECUTE format('DROP TRIGGER %I ON %s', name, attached);
        END IF;
    END LOOP;
    DELETE FROM guestly.attachment;
END $$;
COMMENT ON FUNCTION guestly_detach() IS 'removes the triggers from the table of bookings; columns and their data stay';

-- Queues bookings afresh: attempts start over, history stays. What is in flight or in doubt is left to the worker; Guestly is
-- asked first, since an earlier life of the booking may have got through. Gives those that it queued; their rows say nothing of
-- it yet. The worker does this too, with bookings that were mended.
CREATE FUNCTION guestly.requeue(ids text[], arrivals date[], forced boolean, look_first boolean DEFAULT false,
                                backfill timestamptz DEFAULT NULL) RETURNS text[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    queued text[];
BEGIN
    WITH written AS (
        INSERT INTO guestly.queue AS q (booking_id, arrival, force, backfill, look_up_first)
        SELECT n.id, n.arrival, forced, requeue.backfill, look_first OR EXISTS (SELECT FROM guestly.attempts a WHERE a.booking_id = n.id AND a.operation = 'create')
                                        OR EXISTS (SELECT FROM guestly.old_bookings o WHERE o.booking_id = n.id)
        FROM unnest(ids, arrivals) AS n (id, arrival)
        ON CONFLICT (booking_id) DO UPDATE
        SET state = 'ready', attempts = 0, due_at = clock_timestamp(), queued_at = clock_timestamp(), arrival = excluded.arrival,
            force = q.force OR excluded.force, look_up_first = q.look_up_first OR excluded.look_up_first OR q.creates > 0,
            look_ups = 0, verdict = NULL, backfill = coalesce(q.backfill, excluded.backfill),
            error_class = NULL, error = NULL
        WHERE q.state IN ('ready', 'waiting', 'failed')
        RETURNING q.booking_id
    )
    SELECT coalesce(array_agg(w.booking_id), '{}') INTO queued FROM written w;
    DELETE FROM guestly.withdrawn w WHERE w.booking_id = ANY (queued);
    RETURN queued;
END $$;

-- The same for people, with their rows; how many.
CREATE FUNCTION guestly.queue_afresh(ids text[], arrivals date[], forced boolean, look_first boolean DEFAULT false,
                                     backfill timestamptz DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    queued CONSTANT text[] := guestly.requeue(ids, arrivals, forced, look_first, backfill);
BEGIN
    PERFORM guestly.mark_pending(queued);
    PERFORM guestly.wake_worker();
    RETURN cardinality(queued);
END $$;

CREATE OR REPLACE FUNCTION guestly_sync(booking_id text, force boolean DEFAULT false) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    booking jsonb := guestly.must_exist(booking_id);
    id text := booking ->> 'booking_id';
BEGIN
    -- What Guestly holds, or is asked for already, was paid once: a refunded booking may still have to be cancelled there.
    IF NOT (booking ->> 'paid')::boolean AND NOT coalesce(force, false)
       AND NOT EXISTS (SELECT FROM guestly.reservations r WHERE r.booking_id = id AND r.reservation_id NOT LIKE 'test-%')
       AND NOT EXISTS (SELECT FROM guestly.queue q WHERE q.booking_id = id) THEN
        RAISE EXCEPTION 'booking % is not paid: its payment status is %', id, coalesce(quote_literal(booking ->> 'payment_status'), 'empty')
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = format('Paid is any of: %s.', current_setting('guestly_sync.paid_statuses')),
                  HINT = format('Send it anyway with SELECT guestly_sync(%L, force => true), or see the setting guestly_sync.paid_statuses.', id);
    END IF;
    IF EXISTS (SELECT FROM guestly.reservations r WHERE r.booking_id = id
               AND (r.reservation_id NOT LIKE 'test-%' OR (guestly.setting_values() ->> 'test_mode')::boolean))
       AND NOT EXISTS (SELECT FROM guestly.queue q WHERE q.booking_id = id) THEN
        -- As far as is known here: the worker compares.
        INSERT INTO guestly.changes (booking_id, arrival) VALUES (id, (booking ->> 'arrival')::date);
        PERFORM guestly.wake_worker();
        RETURN 'synced';
    END IF;
    PERFORM guestly.queue_afresh(ARRAY[id], ARRAY[(booking ->> 'arrival')::date], coalesce(force, false));
    RETURN 'queued';
END $$;

-- The booking, or an error that says what to do.
CREATE OR REPLACE FUNCTION guestly.must_exist(booking_id text) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found jsonb := guestly.booking(booking_id);
BEGIN
    IF found IS NULL THEN
        RAISE EXCEPTION 'there is no booking %', quote_nullable(left(booking_id, 80))
            USING ERRCODE = 'no_data_found',
                  DETAIL = format('No row of %s has this primary key.', (SELECT a.bookings FROM guestly.attachment a)),
                  HINT = format('Give the primary key of a row of %s.', (SELECT a.bookings FROM guestly.attachment a));
    END IF;
    RETURN found;
END $$;

CREATE OR REPLACE FUNCTION guestly_retry_failed(error_class text DEFAULT NULL, max_rows bigint DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    chosen record;
BEGIN
    IF max_rows < 0 THEN
        RAISE EXCEPTION 'max_rows is negative'
            USING ERRCODE = 'invalid_parameter_value', DETAIL = format('max_rows is %s.', max_rows), HINT = 'Leave it out to retry all.';
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

CREATE OR REPLACE FUNCTION guestly_test_alert() RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT (guestly.setting_values() ->> 'mail')::boolean THEN
        RAISE EXCEPTION 'no alert mail is set up'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = CASE WHEN guestly.setting_values() ->> 'mail_to' = '' THEN 'guestly_sync.admin_email is empty.'
                                ELSE 'guestly_sync.smtp_url and guestly_sync.email_api_url are empty.' END,
                  HINT = 'Set guestly_sync.admin_email, and guestly_sync.smtp_url or guestly_sync.email_api_url.';
    END IF;
    IF NOT guestly.ask_for_mail() THEN
        RAISE EXCEPTION 'the worker did not answer'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = coalesce((SELECT format('Its process is %s.', w.pid) FROM guestly.live_worker() w), 'This database has no worker.'),
                  HINT = 'See SELECT * FROM guestly_doctor().';
    END IF;
    RETURN (SELECT w.mail_answer FROM guestly.worker w);
END $$;

-- The primary key: one column of a type that the queue can name.
CREATE OR REPLACE FUNCTION guestly.booking_key(bookings regclass, OUT name text, OUT type text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    SELECT a.attname, format_type(a.atttypid, NULL) INTO name, type
    FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
    WHERE i.indrelid = bookings AND i.indisprimary AND (i.indnkeyatts = 1 OR a.attname = 'id')
      AND a.atttypid IN ('uuid'::regtype, 'bigint'::regtype, 'integer'::regtype, 'text'::regtype, 'varchar'::regtype);
    IF name IS NULL THEN
        RAISE EXCEPTION 'the table % has no primary key of one column of type uuid, bigint, integer or text', guestly.qualified_name(bookings)
            USING ERRCODE = 'invalid_table_definition',
                  DETAIL = coalesce((SELECT pg_get_constraintdef(k.oid) FROM pg_constraint k WHERE k.conrelid = bookings AND k.contype = 'p'),
                                    'It has no primary key.'),
                  HINT = 'Give the table such a primary key: the queue names bookings by it.';
    END IF;
END $$;

-- Bookings that were paid before the attachment, or synced in test mode, or that a restore lost sight of. A stay that is over
-- blocks no calendar any more, and Guestly takes none.
CREATE OR REPLACE FUNCTION guestly_backfill(since timestamptz DEFAULT NULL, dry_run boolean DEFAULT true)
RETURNS TABLE (booking_id text, reference text, action text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    started timestamptz := clock_timestamp();
    found jsonb := (SELECT jsonb_agg(jsonb_build_object('id', p.booking_id, 'reference', p.reference, 'arrival', p.arrival, 'over', o.over,
                                                        'queued', EXISTS (SELECT FROM guestly.queue q WHERE q.booking_id = p.booking_id))
                                     ORDER BY o.over, p.arrival NULLS FIRST, p.booking_id)
                    FROM guestly.paid_bookings(extract(epoch FROM since)::double precision) p
                    CROSS JOIN LATERAL (SELECT coalesce(p.departure::date < current_date, false) AS over) o
                    WHERE (coalesce(p.reservation_id, '') = '' OR p.reservation_id LIKE 'test-%')
                      AND NOT EXISTS (SELECT FROM guestly.reservations r WHERE r.booking_id = p.booking_id AND r.reservation_id NOT LIKE 'test-%'));
BEGIN
    IF NOT dry_run THEN
        PERFORM guestly.queue_afresh(array_agg(f.id), array_agg(f.arrival), false, true, started)
        FROM jsonb_to_recordset(found) AS f (id text, arrival date, over boolean, queued boolean) WHERE NOT f.queued AND NOT f.over HAVING count(*) > 0;
        INSERT INTO guestly.backfills AS b (started_at, bookings)
        SELECT started, count(*) FROM guestly.queue q WHERE q.backfill = started HAVING count(*) > 0
        ON CONFLICT (started_at) DO UPDATE SET bookings = excluded.bookings;
    END IF;
    RETURN QUERY
    SELECT f.id, f.reference, CASE WHEN f.queued THEN 'in the queue already' WHEN f.over THEN 'left out: the stay is over'
                                   WHEN dry_run THEN 'would be queued' ELSE 'queued' END
    FROM jsonb_to_recordset(found) AS f (id text, reference text, over boolean, queued boolean);
END $$;
COMMENT ON FUNCTION guestly_backfill(timestamptz, boolean) IS 'paid bookings that have no reservation: lists them, or queues them with dry_run => false, nearest arrival first';

-- A row of the log in plain words.
CREATE OR REPLACE FUNCTION guestly.in_words(a guestly.attempts) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT concat_ws(' ',
        CASE a.outcome
            WHEN 'created' THEN 'Guestly confirmed the reservation'
            WHEN 'adopted' THEN 'Guestly holds the reservation already: adopted, not created twice'
            WHEN 'not_found' THEN 'Guestly was asked and does not hold it (yet)'
            WHEN 'changed' THEN 'Guestly said yes; it is read back when it has settled'
            WHEN 'confirmed' THEN 'Guestly holds what it should hold'
            WHEN 'differs' THEN 'Guestly does not hold what it should hold: changed next'
            WHEN 'recorded' THEN 'the payment stands in Guestly'
            WHEN 'not_recorded' THEN 'the payment does not stand in Guestly: recorded next'
            WHEN 'found' THEN 'Guestly holds something under this code'
            WHEN 'refused' THEN 'refused'
            WHEN 'rejected' THEN 'Guestly did not accept the access token'
            WHEN 'throttled' THEN 'Guestly asked us to slow down'
            WHEN 'not_sent' THEN 'Guestly could not be reached; nothing was sent'
            WHEN 'unavailable' THEN 'Guestly answered with a server error; it will be asked whether it took effect'
            WHEN 'unknown' THEN 'no answer came; Guestly will be asked whether it took effect'
            WHEN 'withdrawn' THEN 'taken out of the queue'
            WHEN 'gone' THEN 'taken out of the queue'
            WHEN 'nothing_to_do' THEN 'Guestly holds what it should hold'
            ELSE a.outcome END,
        CASE WHEN a.operation = 'create' THEN format('(try %s, %s ms)', a.attempt, a.duration_ms) END,
        CASE WHEN a.outcome IN ('withdrawn', 'gone') THEN '- ' || a.error WHEN a.error IS NOT NULL THEN '- ' || a.error_class || ': ' || a.error END,
        CASE WHEN a.request_id IS NOT NULL THEN format('[request %s]', a.request_id) END)
$$;

CREATE OR REPLACE FUNCTION guestly_timeline(booking_id text) RETURNS TABLE (at timestamptz, event text, detail text)
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
                                 WHEN 'list_payments' THEN 'payments listed' WHEN 'record_payment' THEN 'payment recorded' ELSE a.operation END, guestly.in_words(a)
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
            WHEN 'ready' THEN 'in line'
            WHEN 'sending' THEN 'claimed: its call is in flight, or among the next to go'
            WHEN 'unknown' THEN format('in doubt; Guestly is asked again at %s', q.due_at)
            WHEN 'waiting' THEN format('tried again at %s', q.due_at)
            ELSE format('failed; SELECT guestly_sync(%L) tries again', id) END || coalesce(' (' || q.error_class || ': ' || q.error || ')', '')
            || CASE WHEN q.state = 'failed' THEN '' ELSE coalesce('; ' || guestly.why_silent(), '') END
        FROM guestly.queue q WHERE q.booking_id = id
        UNION ALL
        SELECT clock_timestamp(), 'deleted', 'the booking does not exist any more' WHERE booking IS NULL
        UNION ALL
        SELECT clock_timestamp(), 'not queued', guestly.why_not_queued(booking)
        WHERE booking IS NOT NULL AND NOT EXISTS (SELECT FROM guestly.queue q WHERE q.booking_id = id)
          AND NOT EXISTS (SELECT FROM guestly.attempts a WHERE a.booking_id = id)
          AND NOT EXISTS (SELECT FROM guestly.reservations r WHERE r.booking_id = id)
    ) e (at, event, detail) ORDER BY e.at;
END $$;
COMMENT ON FUNCTION guestly_timeline(text) IS 'the story of one booking, and, where it was never queued, why';

-- It has more columns now.
DROP VIEW guestly.status;
DROP FUNCTION guestly.status_row();
CREATE FUNCTION guestly.status_row() RETURNS TABLE (
    worker_pid integer, worker_since timestamptz, version text, enabled boolean, test_mode boolean, armed boolean,
    paused boolean, pause_reason text, breaker text, breaker_since timestamptz, held_until timestamptz,
    credentials_error text, ready bigint, sending bigint, unknown bigint, waiting bigint, failed bigint,
    oldest_waiting_since timestamptz, last_success_at timestamptz, last_error text, last_error_at timestamptz,
    tokens_24h bigint, token_expires_at timestamptz, quota_second double precision, quota_minute double precision,
    quota_hour double precision, clock_skew_ms bigint, price_differences bigint)
LANGUAGE sql STABLE SECURITY DEFINER ROWS 1 SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
    SELECT l.pid, l.since, guestly.library_version(), (s ->> 'enabled')::boolean, (s ->> 'test_mode')::boolean, guestly.is_armed(),
           p.paused_at IS NOT NULL, p.reason, w.breaker, w.breaker_since, w.held_until, w.credentials_error,
           q.ready, q.sending, q.unknown, q.waiting, q.failed, q.oldest, w.last_success_at, w.last_error, w.last_error_at,
           (SELECT count(*) FROM guestly.token_requests t WHERE t.requested_at > clock_timestamp() - interval '24 hours'),
           (SELECT t.expires_at FROM guestly.token t), w.quota[1], w.quota[2], w.quota[3], w.clock_skew_ms,
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

-- Of the backfills under way, or, where none is, of the last one: how many of their bookings wait still, and how many there were.
CREATE FUNCTION guestly.backfill_row() RETURNS TABLE (backfill_left bigint, backfill_total bigint)
LANGUAGE sql STABLE SECURITY DEFINER ROWS 1 SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
    SELECT q.waiting, (SELECT coalesce(sum(b.bookings), 0)::bigint FROM guestly.backfills b
                       WHERE b.started_at >= coalesce(q.since, (SELECT max(l.started_at) FROM guestly.backfills l)))
    FROM (SELECT count(*) AS waiting, min(backfill) AS since FROM guestly.queue WHERE backfill IS NOT NULL AND state <> 'failed') q
$$;

CREATE VIEW guestly.status AS SELECT * FROM guestly.status_row() CROSS JOIN guestly.backfill_row();
COMMENT ON VIEW guestly.status IS 'one row: is there a worker, may it send, what waits and since when, the lane to Guestly, the last success and error';

-- The doctor's rows about alert mails.
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
    again CONSTANT text := 'SELECT pg_reload_conf(); then SELECT guestly_test_alert();';
    correct CONSTANT text := 'ALTER SYSTEM SET guestly_sync.%s = ''…''; (or correct %s) ' || again;
BEGIN
    -- A mail that some recipients got and others did not has been sent: nothing waits that would say so.
    SELECT a.answer INTO unwanted
    FROM (SELECT l.answer FROM guestly.alerts l WHERE l.state = 'sent' ORDER BY l.settled_at DESC LIMIT 1) a
    WHERE EXISTS (SELECT FROM regexp_matches(a.answer, refused_address, 'g') AS m WHERE strpos(settings ->> 'mail_to', m[1]) > 0);
    culprit := coalesce(substring(wrong FROM '(smtp_url|email_api_url|email_api_key|alert_from|admin_email)'), 'smtp_url');
    RETURN QUERY SELECT 'mail',
        CASE WHEN NOT set_up OR wrong IS NULL AND unwanted IS NOT NULL THEN 'warn' WHEN wrong IS NOT NULL THEN 'fail' ELSE 'ok' END,
        CASE WHEN NOT set_up THEN 'not set up: alerts stay in guestly.alerts'
             WHEN wrong IS NOT NULL THEN 'nothing can be mailed: ' || wrong
             ELSE concat_ws('; the mail server said: ', 'alerts go to ' || (settings ->> 'mail_to'), unwanted) END,
        CASE WHEN NOT set_up
                 THEN 'Set guestly_sync.admin_email, and guestly_sync.smtp_url or guestly_sync.email_api_url; ' || again
             WHEN wrong IS NOT NULL THEN format(correct, culprit, variables ->> culprit)
             WHEN unwanted IS NOT NULL THEN format(correct, 'admin_email', variables ->> 'admin_email') END;
    SELECT count(*), count(a.answer), max(a.answer) INTO waiting, tried, said FROM guestly.alerts a WHERE a.state = 'waiting';
    culprit := CASE WHEN said ~ refused_address THEN 'admin_email' WHEN said IS NOT NULL THEN 'smtp_url' END;
    RETURN QUERY SELECT 'alerts', CASE WHEN tried > 0 THEN 'fail' WHEN waiting > 0 THEN 'warn' ELSE 'ok' END,
        concat_ws('; ', format('%s wait to be mailed', waiting), 'the mail server said: ' || said,
                  CASE WHEN waiting > 0 AND NOT armed THEN 'a copy mails nothing' END),
        CASE WHEN waiting > 0 AND NOT armed THEN 'Leave it if the original still runs: both would send. Only if this server takes its place: SELECT guestly_arm();'
             WHEN culprit = 'admin_email' THEN format(correct, culprit, variables ->> culprit)
             WHEN tried > 0 THEN 'Mend the mail server, or correct guestly_sync.smtp_url or guestly_sync.email_api_url; ' || again END;
END $$;

CREATE OR REPLACE FUNCTION guestly_doctor(online boolean DEFAULT false) RETURNS TABLE (check_name text, status text, detail text, fix text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    now_ record;
    sql_version text := (SELECT extversion FROM pg_extension WHERE extname = 'guestly_sync');
    settings jsonb := guestly.setting_values();
    attached regclass := (SELECT to_regclass(a.bookings) FROM guestly.attachment a);
    off text; missing text;
BEGIN
    SELECT * INTO now_ FROM guestly.status_row();
    RETURN QUERY SELECT 'preload', CASE WHEN guestly.is_preloaded() THEN 'ok' ELSE 'fail' END,
        CASE WHEN guestly.is_preloaded() THEN 'loaded at server start' ELSE 'not in shared_preload_libraries: there is no worker' END,
        CASE WHEN NOT guestly.is_preloaded() THEN format('ALTER SYSTEM SET shared_preload_libraries = %s; then restart the server',
            (SELECT string_agg(quote_literal(trim(l)), ', ') FROM unnest(string_to_array(nullif(current_setting('shared_preload_libraries'), ''), ',') || 'guestly_sync'::text) l)) END;
    RETURN QUERY SELECT 'worker', CASE WHEN now_.worker_pid IS NULL THEN 'fail' ELSE 'ok' END,
        CASE WHEN now_.worker_pid IS NULL THEN 'no worker for this database' ELSE format('process %s, since %s', now_.worker_pid, now_.worker_since) END,
        CASE WHEN now_.worker_pid IS NULL THEN 'See the row preload. Else see the server''s log: if no slot is free, ALTER SYSTEM SET max_worker_processes = …; (more than SHOW max_worker_processes) and restart the server. A standby has no worker' END;
    RETURN QUERY SELECT 'version', CASE WHEN sql_version = guestly.library_version() THEN 'ok' ELSE 'fail' END,
        format('library %s, SQL objects %s', guestly.library_version(), sql_version),
        CASE WHEN sql_version = guestly.library_version() THEN NULL
             WHEN string_to_array(substring(sql_version FROM '^[0-9.]*[0-9]'), '.')::int[]
                  < string_to_array(substring(guestly.library_version() FROM '^[0-9.]*[0-9]'), '.')::int[]
             THEN 'ALTER EXTENSION guestly_sync UPDATE;'
             ELSE 'Restart the server: it still runs the older library' END;
    RETURN QUERY SELECT 'enabled', CASE WHEN now_.enabled THEN 'ok' ELSE 'warn' END,
        CASE WHEN now_.enabled THEN 'on' ELSE 'off: paid bookings are queued and wait' END,
        CASE WHEN NOT now_.enabled THEN 'ALTER SYSTEM SET guestly_sync.enabled = on; SELECT pg_reload_conf();' END;
    RETURN QUERY SELECT 'test mode', CASE WHEN now_.test_mode THEN 'warn' ELSE 'ok' END,
        CASE WHEN now_.test_mode THEN 'on: nothing is sent, bookings get ids that begin with test-' ELSE 'off' END,
        CASE WHEN now_.test_mode THEN 'ALTER SYSTEM SET guestly_sync.test_mode = off; SELECT pg_reload_conf();' END;
    RETURN QUERY SELECT 'paused', CASE WHEN now_.paused THEN 'warn' ELSE 'ok' END,
        CASE WHEN now_.paused THEN concat_ws(': ', 'paused', now_.pause_reason) ELSE 'no' END,
        CASE WHEN now_.paused THEN 'SELECT guestly_resume();' END;
    RETURN QUERY SELECT 'armed', CASE WHEN now_.armed THEN 'ok' ELSE 'fail' END,
        CASE WHEN now_.armed THEN 'this server and database may send' ELSE 'this is a copy: nothing is sent' END,
        CASE WHEN NOT now_.armed THEN 'Leave it if the original still runs: both would send. Only if this server takes its place: SELECT guestly_arm();' END;
    RETURN QUERY SELECT 'attached', CASE WHEN attached IS NULL THEN 'fail' ELSE 'ok' END,
        CASE WHEN attached IS NULL THEN 'no table of bookings is attached' ELSE format('%s, since %s', attached, (SELECT a.attached_at FROM guestly.attachment a)) END,
        CASE WHEN attached IS NULL THEN 'SELECT guestly_attach(''bookings'');' END;
    IF attached IS NOT NULL THEN
        off := guestly.triggers_off();
        RETURN QUERY SELECT 'triggers', CASE WHEN off IS NULL THEN 'ok' ELSE 'fail' END,
            coalesce('missing or disabled: ' || off, 'present and enabled'),
            CASE WHEN off IS NOT NULL THEN format('SELECT guestly_attach(%L);', attached) END;
        RETURN QUERY SELECT 'owner', CASE WHEN r.rolsuper THEN 'warn' ELSE 'ok' END,
            CASE WHEN r.rolsuper THEN format('%s is a superuser: triggers and mapping run with all its rights', r.rolname) ELSE r.rolname::text END,
            CASE WHEN r.rolsuper THEN format('ALTER TABLE %s OWNER TO …; a role without special rights', attached) END
        FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner WHERE c.oid = attached;
        RETURN QUERY SELECT 'row security', CASE WHEN s.hides THEN 'warn' ELSE 'ok' END,
            CASE WHEN s.hides THEN 'FORCE ROW LEVEL SECURITY: policies hide rows from the owner too, and reading them is an error'
                 ELSE 'the owner sees every row' END,
            CASE WHEN s.hides THEN format('ALTER TABLE %s NO FORCE ROW LEVEL SECURITY;', attached) END
        FROM (SELECT c.relrowsecurity AND c.relforcerowsecurity AND NOT r.rolsuper AND NOT r.rolbypassrls AS hides
              FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner WHERE c.oid = attached) s;
        missing := guestly.listings_missing();
        RETURN QUERY SELECT 'listings', CASE WHEN missing IS NULL THEN 'ok' ELSE 'warn' END,
            coalesce('no listing for ' || missing, format('%s listings', (SELECT count(*) FROM guestly.listings))),
            CASE WHEN missing IS NOT NULL THEN 'INSERT INTO guestly.listings (property, listing_id) VALUES (…);' END;
    END IF;
    missing := guestly.statuses_missing();
    RETURN QUERY SELECT 'statuses', CASE WHEN missing IS NULL THEN 'ok' ELSE 'warn' END,
        coalesce(missing, format('%s statuses mapped', (SELECT count(*) FROM guestly.status_map))),
        CASE WHEN missing IS NOT NULL THEN 'INSERT INTO guestly.status_map (booking_status, guestly_status) VALUES (…);' END
    WHERE attached IS NOT NULL;
    RETURN QUERY SELECT 'tls', CASE WHEN w.tls_problem IS NULL THEN 'ok' ELSE 'fail' END, coalesce(w.tls_problem, w.tls_roots, 'not looked at yet'),
        CASE WHEN w.tls_problem IS NOT NULL THEN 'Correct them in the server''s environment, then restart it' END
    FROM guestly.worker w;
    RETURN QUERY SELECT 'credentials', CASE WHEN settings ->> 'credentials' IS NULL OR now_.credentials_error IS NOT NULL THEN 'fail' ELSE 'ok' END,
        coalesce('refused: ' || now_.credentials_error || coalesce('; asked again at ' || (SELECT w.credentials_until FROM guestly.worker w), ''),
                 'from ' || (settings ->> 'credentials'), 'none found'),
        CASE WHEN settings ->> 'credentials' IS NULL
                 THEN 'Put guestly_client_id and guestly_client_secret into Vault, or GUESTY_CLIENT_ID and GUESTY_CLIENT_SECRET into the server''s environment'
             WHEN now_.credentials_error IS NOT NULL THEN 'Correct them where they are kept, then SELECT pg_reload_conf(); if that is the server''s environment, restart the server instead' END;
    RETURN QUERY SELECT 'secret in a setting', CASE WHEN settings ->> 'credentials' = 'settings' THEN 'warn' ELSE 'ok' END,
        CASE WHEN settings ->> 'credentials' = 'settings' THEN 'the server logs the value of a changed setting at reload' ELSE 'no' END,
        CASE WHEN settings ->> 'credentials' = 'settings' THEN 'Keep the secret in Vault or in the server''s environment' END;
    RETURN QUERY SELECT 'tokens', CASE WHEN now_.tokens_24h >= 5 THEN 'warn' ELSE 'ok' END,
        format('%s asked for in 24 hours, Guesty gives 5; %s', now_.tokens_24h, coalesce('the current one is good until ' || now_.token_expires_at, 'none kept')),
        CASE WHEN now_.tokens_24h >= 5 THEN format('Wait until %s, or see why they are rejected: SELECT * FROM guestly.attempts WHERE operation = ''token'';',
            (SELECT min(t.requested_at) + interval '24 hours' FROM guestly.token_requests t WHERE t.requested_at > clock_timestamp() - interval '24 hours')) END;
    RETURN QUERY SELECT 'guestly', CASE WHEN now_.breaker = 'open' THEN 'fail' WHEN l.error IS NOT NULL THEN 'warn' ELSE 'ok' END,
        CASE now_.breaker WHEN 'open' THEN format('out of reach since %s', now_.breaker_since)
             WHEN 'half-open' THEN format('answers again since %s', now_.breaker_since)
             ELSE coalesce('the last call failed: ' || l.error, 'reachable, as far as known') END,
        CASE WHEN now_.breaker = 'open' THEN 'Nothing to type: it is tried again by itself. See last_error in guestly.status'
             WHEN l.error IS NOT NULL THEN 'It is tried again by itself. If it goes on, see to what the sentence says: the network, the address, or the certificates of this server' END
    FROM (SELECT (SELECT coalesce(a.error, a.outcome)
                  FROM (SELECT * FROM guestly.attempts c WHERE c.operation <> 'plan' ORDER BY c.started_at DESC LIMIT 1) a
                  WHERE a.outcome IN ('not_sent', 'unavailable')) AS error) l;
    RETURN QUERY SELECT 'payments', CASE WHEN settings ->> 'payment_problem' IS NULL THEN 'ok' ELSE 'warn' END,
        coalesce(settings ->> 'payment_problem', 'recorded in Guestly as ' || (settings ->> 'payment_method'), 'not recorded in Guestly'),
        CASE WHEN settings ->> 'payment_problem' IS NOT NULL
             THEN 'ALTER SYSTEM RESET guestly_sync.payment_method_name; ALTER SYSTEM RESET guestly_sync.payment_path; SELECT pg_reload_conf();' END;
    RETURN QUERY SELECT 'prices', CASE WHEN now_.price_differences = 0 THEN 'ok' ELSE 'warn' END,
        format('%s reservations whose total is not what was paid', now_.price_differences),
        CASE WHEN now_.price_differences > 0 THEN 'Open them in Guestly and correct the price, or leave them: SELECT booking_id, reservation_id, total, paid FROM guestly.reservations WHERE total <> paid;' END;
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
        coalesce(round(now_.clock_skew_ms / 1000.0) || ' s away from Guestly''s', 'not compared yet'),
        CASE WHEN abs(now_.clock_skew_ms) > 60000 THEN 'Set the server''s clock (NTP)' END;
    IF online THEN
        IF guestly.ask_worker() THEN
            RETURN QUERY SELECT 'online', w.online_status, w.online_answer,
                CASE WHEN NOT now_.armed THEN 'Leave it if the original still runs: both would send. Only if this server takes its place: SELECT guestly_arm();' WHEN w.online_status = 'warn' THEN 'Wait, it goes on by itself.' WHEN w.online_status <> 'ok' THEN 'Correct the credentials, guestly_sync.base_url or the network, then SELECT pg_reload_conf();' END
            FROM guestly.worker w;
        ELSE
            RETURN QUERY SELECT 'online', 'fail', 'the worker did not answer', 'See the row worker above, and the server''s log';
        END IF;
    END IF;
END $$;
COMMENT ON FUNCTION guestly_doctor(boolean) IS 'everything that must be right, one row each, with what to type; online also tries the credentials';

-- Why a booking that was never queued was not.
CREATE OR REPLACE FUNCTION guestly.why_not_queued(booking jsonb) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN NOT (booking ->> 'paid')::boolean
            THEN format('not paid: the payment status is %s, and guestly_sync.paid_statuses is %s',
                        coalesce(quote_literal(booking ->> 'payment_status'), 'empty'), current_setting('guestly_sync.paid_statuses', true))
        WHEN EXISTS (SELECT FROM guestly.old_bookings o WHERE o.booking_id = booking ->> 'booking_id')
            THEN format('paid before the extension was attached (%s); SELECT guestly_sync(%L) sends it',
                        (SELECT a.attached_at FROM guestly.attachment a), booking ->> 'booking_id')
        WHEN EXISTS (SELECT FROM guestly.withdrawn w WHERE w.booking_id = booking ->> 'booking_id')
            THEN 'cancelled before it was sent'
        ELSE CASE WHEN guestly.triggers_off() IS NOT NULL
                      THEN format('triggers of the bookings table are missing or disabled (%s)', guestly.triggers_off())
                  WHEN NOT guestly.is_armed() THEN 'paid while no trigger fired, or before this copy was made'
                  ELSE 'paid while no trigger fired (session_replication_role = replica)' END
             || CASE WHEN (guestly.setting_values() ->> 'enabled')::boolean
                     THEN '; the worker looks for such bookings every guestly_sync.poll_interval'
                     ELSE '; the worker looks for such bookings once guestly_sync.enabled is on' END
        END
$$;

-- Triggers of ours that are missing on the bookings or do not fire; null if all is well.
CREATE OR REPLACE FUNCTION guestly.triggers_off() RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT string_agg(n.name, ', ') FROM unnest(guestly.trigger_names()) AS n (name)
    WHERE NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = (SELECT to_regclass(a.bookings) FROM guestly.attachment a)
                      AND t.tgname = n.name AND t.tgenabled IN ('O', 'A'))
$$;

-- Why nothing at all is sent; null where it is.
CREATE OR REPLACE FUNCTION guestly.why_silent() RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN NOT guestly.is_armed() THEN 'this is a copy, which sends nothing before SELECT guestly_arm()'
        WHEN EXISTS (SELECT FROM guestly.pause)
            THEN concat_ws(': ', 'sending is paused', (SELECT p.reason FROM guestly.pause p)) || '; SELECT guestly_resume() goes on'
        WHEN NOT (guestly.setting_values() ->> 'enabled')::boolean THEN 'guestly_sync.enabled is off'
        WHEN NOT EXISTS (SELECT FROM guestly.live_worker()) THEN 'there is no worker: see guestly_doctor()'
        WHEN EXISTS (SELECT FROM guestly.worker w WHERE w.credentials_error IS NOT NULL) THEN 'the credentials are not accepted: see guestly_doctor()'
        WHEN EXISTS (SELECT FROM guestly.worker w WHERE w.breaker = 'open') THEN 'Guestly is out of reach; it is tried again by itself'
        WHEN EXISTS (SELECT FROM guestly.worker w WHERE w.held_until > clock_timestamp())
            THEN 'Guestly asked us to wait until ' || (SELECT w.held_until FROM guestly.worker w)
        END
$$;

-- Whatever was in flight or in doubt when the copy was made is looked up before anything is created.
CREATE OR REPLACE FUNCTION guestly_arm() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT guestly.is_armed() THEN
        -- The original may have sent any of them since, up to this moment: nothing is created before it would be seen.
        UPDATE guestly.queue SET look_up_first = true, doubt_since = clock_timestamp(), look_ups = 0;
        -- No worker of this server made these claims, so none would find them orphaned.
        UPDATE guestly.queue q
        SET state = 'unknown', claim = NULL, operation = NULL, due_at = clock_timestamp(),
            creates = q.creates + (q.operation = 'create')::integer,
            error_class = 'unknown_outcome', error = 'a call was in flight when this copy was made'
        WHERE q.claim IS NOT NULL;
        DELETE FROM guestly.token;
    END IF;
    -- A restored dump may lack the rights that it gives.
    UPDATE guestly.attachment SET bookings = bookings;
    DELETE FROM guestly.installations;
    INSERT INTO guestly.installations (system_identifier, database_oid, environment) SELECT * FROM guestly.this_installation();
    PERFORM guestly.wake_worker();
END $$;
COMMENT ON FUNCTION guestly_arm() IS 'allows sending from this server and database; needed once on a copy';

CREATE TRIGGER watch_field_map AFTER INSERT OR UPDATE OR DELETE ON guestly.field_map
    FOR EACH STATEMENT EXECUTE FUNCTION guestly.watch_field_map();

-- Nothing is created from here on, and whoever may create objects in the extension's schema may have put operators there.
SET LOCAL search_path = pg_catalog, pg_temp;

-- Rights come last in every script: nothing on what is new here for PUBLIC, nor for those to whom default privileges give it,
-- and the administrator's functions for guestly_admin and service_role. What an administrator granted on the rest stays. What is
-- new became a member of the extension together with guestly.changes.
DO $$
DECLARE
    callable CONSTANT text[] := ARRAY['guestly_sync', 'guestly_retry_failed', 'guestly_preview', 'guestly_attach', 'guestly_detach',
        'guestly_arm', 'guestly_backfill', 'guestly_pause', 'guestly_resume', 'guestly_timeline', 'guestly_test_alert', 'guestly_doctor', 'status_row', 'backfill_row'];
    new record;
    grantee record;
    admin name;
BEGIN
    FOR new IN
        WITH member AS (
            SELECT d.classid, d.objid FROM pg_depend d
            WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
              AND d.refobjid = (SELECT e.oid FROM pg_extension e WHERE e.extname = 'guestly_sync')
              AND d.xmin = (SELECT m.xmin FROM pg_depend m WHERE m.classid = 'pg_class'::regclass AND m.objid = 'guestly.changes'::regclass
                            AND m.deptype = 'e'))
        SELECT format('FUNCTION %s', p.oid::regprocedure) AS name, coalesce(p.proacl, acldefault('f', p.proowner)) AS acl, p.proowner AS owner,
               format('ALTER FUNCTION %s SET search_path = pg_catalog, pg_temp', p.oid::regprocedure) AS pin,
               CASE WHEN p.proname = ANY (callable) THEN 'EXECUTE' END AS gives
        FROM member m JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND m.objid = p.oid
        UNION ALL
        SELECT format('TABLE %s', c.oid::regclass), c.relacl, c.relowner, NULL,
               CASE WHEN c.relname IN ('status', 'queue', 'attempts') THEN 'SELECT' END
        FROM member m JOIN pg_class c ON m.classid = 'pg_class'::regclass AND m.objid = c.oid
    LOOP
        FOR grantee IN
            SELECT DISTINCT CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END AS name
            FROM aclexplode(new.acl) g WHERE g.grantee <> new.owner
        LOOP
            EXECUTE format('REVOKE ALL ON %s FROM %s', new.name, grantee.name);
        END LOOP;
        IF new.pin IS NOT NULL THEN
            EXECUTE new.pin;
        END IF;
        FOREACH admin IN ARRAY ARRAY['guestly_admin', 'service_role'] LOOP
            IF new.gives IS NOT NULL AND to_regrole(admin::text) IS NOT NULL THEN
                EXECUTE format('GRANT %s ON %s TO %I', new.gives, new.name, admin);
            END IF;
        END LOOP;
    END LOOP;
END $$;

SELECT pg_extension_config_dump('guestly.changes', '');
SELECT pg_extension_config_dump('guestly.backfills', '');

-- The triggers of this version, and what the owner of the bookings may read of the new tables.
DO $$
DECLARE
    attached CONSTANT regclass := (SELECT to_regclass(a.bookings) FROM guestly.attachment a);
BEGIN
    IF attached IS NOT NULL THEN
        -- Made anew, over payment statuses as they are compared now.
        EXECUTE pg_catalog.format('DROP INDEX IF EXISTS %I.%I', (SELECT n.nspname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n
                ON n.oid = c.relnamespace WHERE c.oid = attached),
            pg_catalog.left((SELECT c.relname FROM pg_catalog.pg_class c WHERE c.oid = attached)::text, 38) || '_guestly_open_idx');
        PERFORM @extschema@.guestly_attach(attached);
        -- 0.1.0 compared payment statuses as they were written: what reads as paid only now was never its business.
        INSERT INTO guestly.old_bookings (booking_id)
        SELECT p.booking_id FROM guestly.paid_bookings() p
        WHERE p.reservation_id IS NULL
          AND p.payment_status <> ALL (pg_catalog.regexp_split_to_array(pg_catalog.btrim(pg_catalog.current_setting('guestly_sync.paid_statuses')), '\s*,\s*'))
          AND NOT EXISTS (SELECT FROM guestly.queue q WHERE q.booking_id = p.booking_id)
          AND NOT EXISTS (SELECT FROM guestly.reservations r WHERE r.booking_id = p.booking_id)
        ON CONFLICT (booking_id) DO NOTHING;
        UPDATE guestly.attachment
        SET paid_words = ARRAY (SELECT w.word FROM pg_catalog.jsonb_array_elements_text(guestly.setting_values() -> 'paid_statuses') AS w (word));
    END IF;
END $$;
