\echo Use "ALTER EXTENSION guestly_sync UPDATE" to load this file. \quit
-- From 0.2.0 to 0.2.1: everything belongs to guestly_owner, and nothing that names a host's table runs as a superuser any more.

-- Whoever may create objects in the extension's schema may have put operators there; the path stays for what follows, so
-- that every name is the server's own or qualified.
SET LOCAL search_path = pg_catalog, pg_temp;

DO $$
DECLARE
    foreign_function text;
BEGIN
    SELECT min(p.oid::regprocedure::text) INTO foreign_function FROM pg_proc p
    WHERE p.pronamespace = 'guestly'::regnamespace AND NOT EXISTS (
        SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e');
    IF foreign_function IS NOT NULL THEN
        RAISE EXCEPTION 'the function % is not part of guestly_sync, and would run as superuser', foreign_function
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'See who made it, and drop it.';
    END IF;
END $$;

-- Tables.
DROP TRIGGER let_owner_read ON guestly.attachment;
ALTER TABLE guestly.attachment ADD COLUMN owner name;
COMMENT ON COLUMN guestly.attachment.owner IS 'the owner of the table who was last given the rights that the sweep and the triggers need';
COMMENT ON COLUMN guestly.queue.doubt_since IS 'since when a create of unknown outcome may be taking effect, or a reservation is not found; neither is decided before settle has passed';
COMMENT ON COLUMN guestly.queue.look_ups IS 'look-ups that found nothing since doubt_since; of what Guestly holds, changes that it did not make';
ALTER TABLE guestly.queue ADD COLUMN failed_reads integer NOT NULL DEFAULT 0;
COMMENT ON COLUMN guestly.queue.failed_reads IS 'look-ups or read-backs in a row that brought no readable answer; not counted during an outage';
-- Whose reservation it is that Guestly names.
CREATE INDEX reservations_by_id ON guestly.reservations (reservation_id);
-- One row that comes back after a TRUNCATE.
DELETE FROM guestly.worker a USING guestly.worker b WHERE a.ctid > b.ctid;
ALTER TABLE guestly.worker ADD COLUMN mail_since timestamptz, ADD COLUMN id boolean PRIMARY KEY DEFAULT true CHECK (id);
COMMENT ON COLUMN guestly.worker.mail_since IS 'since when an alert mail is under way; null: none is';
INSERT INTO guestly.worker DEFAULT VALUES ON CONFLICT DO NOTHING;

-- Functions.
DROP FUNCTION guestly.add_columns(regclass);
DROP FUNCTION guestly.trigger_names();

CREATE OR REPLACE FUNCTION guestly.property_expression(bookings regclass, property_column text) RETURNS text
LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('(SELECT p.slug FROM %s p WHERE p.%I = b.%I)', k.confrelid::regclass, r.attname, property_column)
    FROM pg_constraint k
    JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1] AND a.attname = property_column
    JOIN pg_attribute r ON r.attrelid = k.confrelid AND r.attnum = k.confkey[1]
    WHERE k.conrelid = bookings AND k.contype = 'f' AND cardinality(k.conkey) = 1
      AND guestly.first_column(k.confrelid, 'slug') IS NOT NULL
      AND guestly.owner_of(k.confrelid) = guestly.owner_of(bookings)
    LIMIT 1
$$;

CREATE OR REPLACE FUNCTION guestly.owner_of(relation oid) RETURNS oid
LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$ SELECT c.relowner FROM pg_class c WHERE c.oid = relation $$;

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
        ('country', guestly.column_expression(bookings, NULL, 'guest_country', 'country'))
    ) AS f (field, expression)
    WHERE f.expression IS NOT NULL
    ON CONFLICT (field) DO NOTHING;
END $$;

CREATE OR REPLACE FUNCTION guestly.attached() RETURNS regclass
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT guestly.relation_named(a.bookings) FROM guestly.attachment a $$;

CREATE OR REPLACE FUNCTION guestly.relation_named(name text) RETURNS regclass
LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$
    SELECT c.oid::regclass FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = (parse_ident(name))[1] AND c.relname = (parse_ident(name))[2]
$$;

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
            PERFORM guestly.define_index(bookings, name, concat_ws(' ', wanted.keys, nullif(wanted.predicate, '')));
        END IF;
    END LOOP;
END $$;

CREATE OR REPLACE FUNCTION guestly.children(bookings regclass) RETURNS SETOF oid
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    WITH RECURSIVE below AS (
        SELECT i.inhrelid FROM pg_inherits i WHERE i.inhparent = bookings
        UNION SELECT i.inhrelid FROM pg_inherits i JOIN below b ON i.inhparent = b.inhrelid
    )
    SELECT inhrelid FROM below
$$;

CREATE OR REPLACE FUNCTION guestly.candidates(schemas name[]) RETURNS TABLE (relation regclass, name text, owner name, is_trusted boolean)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT c.oid::regclass, format('%I.%I', n.nspname, c.relname), r.rolname,
           NOT EXISTS (SELECT FROM guestly.children(c.oid) d (relation) JOIN pg_class p ON p.oid = d.relation AND p.relowner <> c.relowner)
           AND (r.rolsuper OR EXISTS (SELECT FROM pg_database d WHERE d.datname = current_database() AND d.datdba = c.relowner)
           OR EXISTS (SELECT FROM pg_class p WHERE p.relnamespace = (SELECT s.oid FROM pg_namespace s WHERE s.nspname = 'public')
                      AND p.relkind IN ('r', 'p') AND p.relowner = c.relowner))
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_roles r ON r.oid = c.relowner
    WHERE c.relname = 'bookings' AND c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AND n.nspname = ANY (schemas)
$$;

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
        RAISE EXCEPTION 'the table % is attached already', former
            USING ERRCODE = 'object_not_in_prerequisite_state', DETAIL = format('Asked to attach %s.', name),
                  HINT = 'Call SELECT guestly_detach() first: one table of bookings is supported.';
    END IF;
    PERFORM guestly.must_be_table(bookings);
    key := guestly.booking_key(bookings);
    IF payment IS NULL THEN
        RAISE EXCEPTION 'the table % has no column payment_status', name
            USING ERRCODE = 'undefined_column',
                  DETAIL = format('Its columns are %s.', (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) FROM pg_attribute a
                                                          WHERE a.attrelid = bookings AND a.attnum > 0 AND NOT a.attisdropped)),
                  HINT = 'Attach the table whose payment_status says that a booking is paid.';
    END IF;
    PERFORM guestly.define_columns(bookings);
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
                                                           WHEN 'f' THEN 'foreign table' ELSE 'relation of another kind' END),
                  HINT = 'Attach the table itself, in the database in which it is.';
    END IF;
    IF persistence <> 'p' THEN
        RAISE EXCEPTION '% is not a permanent table', name
            USING ERRCODE = 'wrong_object_type',
                  DETAIL = CASE persistence WHEN 't' THEN 'It is a temporary table: it ends with its session.'
                                            ELSE 'It is unlogged: a crash of the server empties it.' END,
                  HINT = CASE persistence WHEN 't' THEN 'Attach the table that keeps the bookings.'
                                          ELSE format('ALTER TABLE %s SET LOGGED;', name) END;
    END IF;
    -- The owner of the table may not define its columns and triggers on them, and their code would run as the owner of the table.
    SELECT guestly.qualified_name(c.oid) AS name, pg_get_userbyid(c.relowner) AS owner, pg_get_userbyid(p.relowner) AS wanted INTO child
    FROM guestly.children(bookings) AS d (relation) JOIN pg_class c ON c.oid = d.relation JOIN pg_class p ON p.oid = bookings
    WHERE c.relowner <> p.relowner LIMIT 1;
    IF child.name IS NOT NULL THEN
        RAISE EXCEPTION '%, a part of %, belongs to another role', child.name, name
            USING ERRCODE = 'insufficient_privilege',
                  DETAIL = format('It belongs to %I, and %s belongs to %I.', child.owner, name, child.wanted),
                  HINT = format('ALTER TABLE %s OWNER TO %I;', child.name, child.wanted);
    END IF;
END $$;

CREATE OR REPLACE FUNCTION guestly.take_stock(bookings regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    waiting text[] := guestly.remembered_waiting(bookings);
    key text := (SELECT a.key_column FROM guestly.attachment a);
BEGIN
    -- Whether paid at this moment or not: it may be paid again.
    PERFORM guestly.know_named_reservations(bookings, key);
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

CREATE OR REPLACE FUNCTION guestly.know_named_reservations(bookings regclass, key_column text) RETURNS void
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
    PERFORM guestly.know_named_reservations(guestly.attached(), a.key_column) FROM guestly.attachment a WHERE guestly.attached() IS NOT NULL;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION guestly.remembered_attachment(bookings regclass) RETURNS timestamptz
LANGUAGE plpgsql STABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN substring(guestly.remembered(bookings) FROM 'attached since (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z)')::timestamptz;
EXCEPTION WHEN data_exception THEN
    PERFORM guestly.ignore_comment(bookings, 'the table counts as attached now', SQLERRM);
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION guestly.remembered_waiting(bookings regclass) RETURNS text[]
LANGUAGE plpgsql STABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT coalesce(array_agg(w.id), '{}')
            FROM jsonb_array_elements_text(coalesce(substring(guestly.remembered(bookings) FROM 'waiting: (\[.*\])$')::jsonb, '[]')) AS w (id));
EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
    PERFORM guestly.ignore_comment(bookings, 'bookings that waited are not queued again; SELECT * FROM guestly_backfill() lists them', SQLERRM);
    RETURN '{}';
END $$;

CREATE OR REPLACE FUNCTION guestly.ignore_comment(bookings regclass, consequence text, reason text) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE WARNING 'guestly_sync: the comment on column %.guestly_sync_attempts cannot be read: %', bookings, consequence
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
        'guestly_sync: tries since the booking was last queued; attached since ' || since || coalesce('; waiting: ' || waiting::text, ''));
END $$;

CREATE OR REPLACE FUNCTION guestly.prepare_drop() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    attached regclass := guestly.attached();
BEGIN
    IF attached IS NOT NULL THEN
        PERFORM guestly.remember_attachment(attached, with_waiting => true);
    END IF;
END $$;

CREATE OR REPLACE FUNCTION guestly.let_owner_read() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    holder name := (SELECT pg_get_userbyid(c.relowner) FROM pg_class c WHERE TG_OP <> 'DELETE' AND c.oid = guestly.relation_named(NEW.bookings));
    former name := CASE WHEN TG_OP <> 'INSERT' THEN (SELECT r.rolname FROM pg_roles r WHERE r.rolname = OLD.owner) END;
BEGIN
    IF former IS DISTINCT FROM holder AND former NOT IN ('guestly_owner', 'guestly_admin', 'service_role') THEN
        EXECUTE format('REVOKE ALL ON guestly.queue, guestly.old_bookings, guestly.withdrawn, guestly.reservations, guestly.changes FROM %1$I; '
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
                   'GRANT SELECT ON guestly.queue, guestly.old_bookings, guestly.withdrawn, guestly.reservations, guestly.changes TO %1$I; '
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
            FROM unnest(ARRAY['guestly.queue', 'guestly.old_bookings', 'guestly.withdrawn', 'guestly.reservations', 'guestly.changes']) AS t (name))
       AND has_function_privilege(holder, '@extschema@.guestly_note_paid()', 'EXECUTE')
       AND has_function_privilege(holder, '@extschema@.guestly_queue_paid()', 'EXECUTE')
$$;

CREATE OR REPLACE FUNCTION guestly.add_triggers(bookings regclass, key_column text, payment_column text, arrival_column text, columns text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- As pg_trigger has them.
    stored text := format(E'%s\\000%s\\000%s\\000', key_column, payment_column, coalesce(arrival_column, ''));
BEGIN
    -- They are there, at work, and watch the same: nothing is locked.
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
    -- Nothing is watched yet: guestly_attach() is about to see to it.
    IF attached.bookings IS NULL OR cardinality(attached.watched) = 0 OR NOT current_setting('check_function_bodies')::boolean THEN
        RETURN NULL;
    END IF;
    BEGIN
        -- Those of a restored dump, and of whoever turned the check off, were never looked at.
        PERFORM guestly.check_expression(m.field, m.expression) FROM guestly.field_map m;
        columns := guestly.watched_columns(attached.bookings, attached.payment_column);
    EXCEPTION WHEN OTHERS THEN
        -- Another expression is broken, for example because a column was dropped. The operator corrects them one at a time.
        RAISE WARNING 'the triggers on % go on watching what they did: %', attached.bookings, SQLERRM
            USING HINT = 'An expression in guestly.field_map is wrong: correct it too.';
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
        RAISE EXCEPTION 'another table was attached meanwhile'
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Call SELECT guestly_detach() again.';
    END IF;
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
        PERFORM guestly.drop_triggers(attached);
    END IF;
    DELETE FROM guestly.attachment;
END $$;

CREATE OR REPLACE FUNCTION guestly.requeue(ids text[], arrivals date[], forced boolean, look_first boolean DEFAULT false,
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
            look_ups = 0, failed_reads = 0, verdict = NULL, backfill = coalesce(q.backfill, excluded.backfill),
            error_class = NULL, error = NULL
        WHERE q.state IN ('ready', 'waiting', 'failed')
        RETURNING q.booking_id
    )
    SELECT coalesce(array_agg(w.booking_id), '{}') INTO queued FROM written w;
    -- What was put off because code of the host did not end is tried at once; what is in doubt is looked up first.
    UPDATE guestly.queue q SET due_at = clock_timestamp()
    WHERE q.booking_id = ANY (ids) AND q.state = 'unknown' AND q.error_class = 'internal' AND q.due_at > clock_timestamp();
    DELETE FROM guestly.withdrawn w WHERE w.booking_id = ANY (queued);
    RETURN queued;
END $$;

CREATE OR REPLACE FUNCTION @extschema@.guestly_arm() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT guestly.is_armed() THEN
        -- The original may have sent any of them since, up to this moment: nothing is created before it would be seen.
        UPDATE guestly.queue SET look_up_first = true, doubt_since = clock_timestamp(), look_ups = 0, failed_reads = 0;
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
    -- A backup may lack what Guestly holds by now.
    PERFORM guestly.know_named_reservations(guestly.attached(), a.key_column) FROM guestly.attachment a WHERE guestly.attached() IS NOT NULL;
    DELETE FROM guestly.installations;
    INSERT INTO guestly.installations (system_identifier, database_oid, environment) SELECT * FROM guestly.this_installation();
    PERFORM guestly.wake_worker();
END $$;

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
            WHEN 'not_sent' THEN 'nothing was sent'
            WHEN 'unavailable' THEN CASE WHEN a.operation IN ('look_up', 'read_back', 'list_payments') THEN 'no usable answer; it is read again later'
                                         ELSE 'Guestly answered with a server error; it will be asked whether it took effect' END
            WHEN 'unknown' THEN CASE WHEN a.operation IN ('look_up', 'read_back', 'list_payments') THEN 'no usable answer; it is read again later'
                                     ELSE 'no answer came; Guestly will be asked whether it took effect' END
            WHEN 'withdrawn' THEN 'taken out of the queue'
            WHEN 'gone' THEN 'taken out of the queue'
            WHEN 'hung' THEN 'postponed; other bookings go first'
            WHEN 'nothing_to_do' THEN 'Guestly holds what it should hold'
            ELSE a.outcome END,
        CASE WHEN a.operation = 'create' THEN format('(try %s, %s ms)', a.attempt, a.duration_ms) END,
        CASE WHEN a.outcome IN ('withdrawn', 'gone') THEN '- ' || a.error WHEN a.error IS NOT NULL THEN '- ' || a.error_class || ': ' || a.error END,
        CASE WHEN a.request_id IS NOT NULL THEN format('[request %s]', a.request_id) END)
$$;

CREATE OR REPLACE FUNCTION guestly.triggers_off() RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT string_agg(n.name, ', ') FROM unnest(guestly.trigger_names()) AS n (name)
    WHERE NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = guestly.attached()
                      AND t.tgname = n.name AND t.tgenabled IN ('O', 'A'))
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
            WHEN 'sending' THEN CASE WHEN EXISTS (SELECT FROM guestly.host_code() h WHERE h.booking_id = id)
                                     THEN 'Guestly has answered; the booking''s row is being written'
                                     ELSE 'claimed: its call is in flight, or among the next to go' END
            WHEN 'unknown' THEN format('in doubt; Guestly is asked again at %s', q.due_at)
            WHEN 'waiting' THEN format('tried again at %s', q.due_at)
            ELSE format('failed; SELECT guestly_sync(%L) tries again', id) END || coalesce(' (' || q.error_class || ': ' || q.error || ')', '')
            || CASE WHEN q.state = 'failed' THEN '' ELSE coalesce('; ' || guestly.why_silent(), '') END
        FROM guestly.queue q WHERE q.booking_id = id
        UNION ALL
        SELECT clock_timestamp(), 'now', format('process %s is in code of the bookings table for %s since %s: see guestly_doctor()', h.pid,
               CASE WHEN h.booking_id = id THEN 'it' ELSE 'several bookings' END, h.since)
        FROM guestly.host_code() h WHERE (h.booking_id = id OR h.booking_id IS NULL AND EXISTS (SELECT FROM guestly.queue q WHERE q.booking_id = id))
        AND h.since < clock_timestamp() - interval '2 seconds'
        UNION ALL
        SELECT clock_timestamp(), 'deleted', 'the booking does not exist any more' WHERE booking IS NULL
        UNION ALL
        SELECT clock_timestamp(), 'not queued', guestly.why_not_queued(booking)
        WHERE booking IS NOT NULL AND NOT EXISTS (SELECT FROM guestly.queue q WHERE q.booking_id = id)
          AND NOT EXISTS (SELECT FROM guestly.attempts a WHERE a.booking_id = id)
          AND NOT EXISTS (SELECT FROM guestly.reservations r WHERE r.booking_id = id)
    ) e (at, event, detail) ORDER BY e.at;
END $$;

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
           p.paused_at IS NOT NULL, p.reason, coalesce(w.breaker, 'closed'), w.breaker_since, w.held_until, w.credentials_error,
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

CREATE OR REPLACE FUNCTION guestly.host_code_hangs() RETURNS boolean
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN EXISTS (SELECT FROM guestly.queue q WHERE q.error_class = 'internal' AND q.error LIKE '%code of the table%did not end within %')
                     OR guestly.sweep_stopped_at() IS NOT NULL THEN true
                WHEN NOT EXISTS (SELECT FROM guestly.host_code()) THEN false
                WHEN (SELECT h.since < clock_timestamp() - interval '1 s' FROM guestly.host_code() h) THEN true
                ELSE (SELECT true FROM pg_sleep(1.1)) AND EXISTS (SELECT FROM guestly.host_code() h WHERE h.since < clock_timestamp() - interval '1 s') END
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
                 THEN concat_ws(' ', format('process %s is in code of table %s since %s', h.pid, attached, h.since), 'for booking ' || h.booking_id)
             WHEN q.waiting + q.failed > 0
                 THEN concat_ws('; ', CASE WHEN q.waiting > 0 THEN format('bookings postponed because code of table %s did not end in time: %s', attached, q.waiting) END,
                                CASE WHEN q.failed > 0 THEN format('bookings failed because code of table %s did not end in time: %s', attached, q.failed) END)
             ELSE 'triggers and mapping expressions end in time' END,
        CASE WHEN h.pid IS NOT NULL
                 THEN format('SELECT pg_terminate_backend(%s); %s -- correct the trigger or the mapping that does not end', h.pid, code)
             WHEN q.waiting + q.failed > 0
                 THEN format('SELECT booking_id, state, due_at, error FROM guestly.queue WHERE error_class = ''internal''; %s -- correct what does not end; to retry one booking at once: SELECT guestly_sync(%L);', code, q.one) END
    FROM (SELECT count(*) FILTER (WHERE w.state <> 'failed') AS waiting, count(*) FILTER (WHERE w.state = 'failed') AS failed, min(w.booking_id) AS one
          FROM guestly.queue w WHERE w.error_class = 'internal' AND w.error LIKE '%code of the table%did not end within %') q
    LEFT JOIN guestly.host_code() h ON h.since < clock_timestamp() - interval '2 seconds';
    RETURN QUERY SELECT 'sweep', CASE WHEN s.at IS NULL THEN 'ok' ELSE 'warn' END,
        CASE WHEN s.at IS NULL THEN 'the search for paid bookings that no trigger queued ends in time'
             ELSE format('the search for paid bookings that no trigger queued did not end within 20 s (at %s): such bookings are not found', s.at) END,
        CASE WHEN s.at IS NOT NULL THEN guestly.sweep_fix(attached) END
    FROM guestly.sweep_stopped_at() AS s (at) WHERE attached IS NOT NULL;
END $$;

CREATE OR REPLACE FUNCTION guestly.sweep_fix(attached regclass) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN i.indisvalid
                    THEN format('ANALYZE %s; SELECT tgname, tgfoid::regproc FROM pg_trigger WHERE tgrelid = %L::regclass AND NOT tgisinternal; -- its index exists: check functions in other indexes and in policies of the table', attached, attached)
                ELSE concat('DROP INDEX CONCURRENTLY ' || i.indexrelid::regclass || '; ',
                            format('CREATE INDEX CONCURRENTLY %I ON %s %s WHERE guestly_reservation_id IS NULL;', n.name, attached,
                                   format(CASE t.typcategory WHEN 'S' THEN '(lower(btrim(%I::text, E'' \t\n\r\f'') COLLATE "C"))' ELSE '(%I)' END, p.attname))) END
    FROM guestly.attachment a
    JOIN pg_class c ON c.oid = attached
    JOIN pg_attribute p ON p.attrelid = attached AND p.attname = a.payment_column
    JOIN pg_type t ON t.oid = p.atttypid
    CROSS JOIN LATERAL (SELECT left(c.relname, 38) || '_guestly_open_idx' AS name) n
    LEFT JOIN (pg_index i JOIN pg_class x ON x.oid = i.indexrelid) ON i.indrelid = attached AND x.relname = n.name
$$;

CREATE OR REPLACE FUNCTION guestly.listings_missing() RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF guestly.host_code_hangs() THEN
        RETURN 'the properties are not read while code of the bookings table does not end';
    END IF;
    RETURN (SELECT 'no listing for ' || string_agg(quote_literal(p.slug), ', ')
            FROM unnest(guestly.properties_without_listing()) AS p (slug));
EXCEPTION WHEN OTHERS THEN
    RETURN 'the properties cannot be read: ' || SQLERRM;
END $$;

CREATE OR REPLACE FUNCTION guestly.statuses_missing() RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF guestly.host_code_hangs() THEN
        RETURN 'the bookings are not read while code of their table does not end';
    END IF;
    RETURN (SELECT 'no status of Guestly''s for ' || string_agg(quote_literal(s.name), ', ' ORDER BY s.name)
            FROM unnest(guestly.paid_booking_statuses()) AS s (name)
            WHERE NOT EXISTS (SELECT FROM guestly.status_map m WHERE lower(m.booking_status) = lower(s.name)));
EXCEPTION WHEN OTHERS THEN
    RETURN 'the bookings cannot be read: ' || SQLERRM;
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
    -- Since when a mail is under way, if that takes longer than a few seconds; of a worker that is gone, none is.
    slow timestamptz := (SELECT w.mail_since FROM guestly.worker w JOIN guestly.live_worker() l ON w.mail_since > l.since
                         WHERE w.mail_since < clock_timestamp() - interval '3 seconds');
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
    RETURN QUERY SELECT 'alerts', CASE WHEN tried > 0 THEN 'fail' WHEN waiting > 0 OR slow IS NOT NULL THEN 'warn' ELSE 'ok' END,
        concat_ws('; ', format('%s wait to be mailed', waiting), 'a mail is under way since ' || slow, 'the mail server said: ' || said,
                  CASE WHEN waiting > 0 AND NOT armed THEN 'a copy mails nothing' END),
        CASE WHEN waiting > 0 AND NOT armed THEN 'Leave it if the original still runs: both would send. Only if this server takes its place: SELECT guestly_arm();'
             WHEN culprit = 'admin_email' THEN format(correct, culprit, variables ->> culprit)
             WHEN tried > 0 OR slow IS NOT NULL THEN 'Repair the mail server, or correct guestly_sync.smtp_url or guestly_sync.email_api_url; ' || again END;
END $$;

CREATE OR REPLACE FUNCTION guestly.doctor_of_roles() RETURNS TABLE (check_name text, status text, detail text, fix text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'roles', CASE WHEN w.words = '' THEN 'ok' ELSE 'fail' END,
           CASE WHEN w.words = '' THEN format('the objects of the extension belong to %s, which can do nothing else', w.role)
                ELSE format('the objects of the extension belong to %s, which has %s', w.role, w.words) END,
           CASE WHEN w.words <> '' THEN concat_ws(' ', format('ALTER ROLE %s NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;', w.role), w.revokes) END
    FROM (SELECT quote_ident(r.rolname) AS role,
                 concat_ws(', ', CASE WHEN r.rolcanlogin THEN 'LOGIN' END, CASE WHEN r.rolsuper THEN 'SUPERUSER' END,
                           CASE WHEN r.rolcreatedb THEN 'CREATEDB' END, CASE WHEN r.rolcreaterole THEN 'CREATEROLE' END,
                           CASE WHEN r.rolreplication THEN 'REPLICATION' END, CASE WHEN r.rolbypassrls THEN 'BYPASSRLS' END,
                           'the members ' || string_agg(quote_ident(m.rolname), ', ')) AS words,
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
        SELECT format('the table %s belongs to %I', t.name, pg_get_userbyid(t.relowner)) AS words,
               format('ALTER TABLE %s OWNER TO %I;', t.name, pg_get_userbyid(t.wanted)) AS fix
        FROM tree t WHERE t.relowner <> t.wanted
        UNION ALL
        SELECT format('the trigger %I on %s runs a function of %I', g.tgname, t.name, r.rolname),
               format('ALTER FUNCTION %s OWNER TO %I;', g.tgfoid::regprocedure, pg_get_userbyid(t.wanted))
        FROM tree t JOIN pg_trigger g ON g.tgrelid = t.oid AND NOT g.tgisinternal AND g.tgname <> ALL (guestly.trigger_names())
        JOIN pg_proc p ON p.oid = g.tgfoid JOIN pg_roles r ON r.oid = p.proowner
        WHERE p.proowner <> t.wanted AND NOT r.rolsuper
    )
    SELECT 'code of others', CASE WHEN count(*) = 0 THEN 'ok' ELSE 'warn' END,
           coalesce(string_agg(f.words, '; ') || ': it runs with the rights of the owner of the bookings', 'none on the table'),
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
        CASE WHEN guestly.is_preloaded() THEN 'loaded at server start' ELSE 'not in shared_preload_libraries: there is no worker' END,
        CASE WHEN NOT guestly.is_preloaded() THEN format('ALTER SYSTEM SET shared_preload_libraries = %s; then restart the server',
            (SELECT string_agg(quote_literal(trim(l)), ', ') FROM unnest(string_to_array(nullif(guestly.preloaded_libraries(), ''), ',') || 'guestly_sync'::text) l)) END;
    RETURN QUERY SELECT 'worker', CASE WHEN now_.worker_pid IS NULL THEN 'fail' ELSE 'ok' END,
        CASE WHEN now_.worker_pid IS NULL THEN 'no worker for this database' ELSE format('process %s, since %s', now_.worker_pid, now_.worker_since) END,
        CASE WHEN now_.worker_pid IS NULL THEN 'See the row preload. Else see the server''s log: if no slot is free, ALTER SYSTEM SET max_worker_processes = …; (more than SHOW max_worker_processes) and restart the server. A standby has no worker' END;
    RETURN QUERY SELECT * FROM guestly.doctor_of_host_code(attached);
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
            coalesce(missing, format('%s listings', (SELECT count(*) FROM guestly.listings))),
            CASE WHEN missing LIKE 'no listing for %' THEN 'INSERT INTO guestly.listings (property, listing_id) VALUES (…);'
                 WHEN missing IS NOT NULL THEN 'See the rows host code and sweep, and the rights of the table''s owner' END;
    END IF;
    RETURN QUERY SELECT * FROM guestly.doctor_of_roles();
    RETURN QUERY SELECT * FROM guestly.doctor_of_others(attached) WHERE attached IS NOT NULL;
    missing := guestly.statuses_missing();
    RETURN QUERY SELECT 'statuses', CASE WHEN missing IS NULL THEN 'ok' ELSE 'warn' END,
        coalesce(missing, format('%s statuses mapped', (SELECT count(*) FROM guestly.status_map))),
        CASE WHEN missing LIKE 'no status of %' THEN 'INSERT INTO guestly.status_map (booking_status, guestly_status) VALUES (…);'
             WHEN missing IS NOT NULL THEN 'See the rows host code and sweep, and guestly.field_map' END
    WHERE attached IS NOT NULL;
    RETURN QUERY SELECT 'tls', CASE WHEN w.tls_problem IS NULL THEN 'ok' ELSE 'fail' END, coalesce(w.tls_problem, w.tls_roots, 'not looked at yet'),
        CASE WHEN w.tls_problem IS NOT NULL THEN 'Correct them in the server''s environment, then restart it' END
    FROM (VALUES (true)) one LEFT JOIN guestly.worker w ON true;
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

CREATE OR REPLACE FUNCTION @extschema@.guestly_attach(bookings regclass DEFAULT 'bookings'::text::regclass) RETURNS void
LANGUAGE c SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'guestly_attach_wrapper';

CREATE OR REPLACE FUNCTION @extschema@.guestly_detach() RETURNS void
LANGUAGE c SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'guestly_detach_wrapper';

CREATE OR REPLACE FUNCTION guestly."sweep_stopped_at"() RETURNS timestamp with time zone 
STRICT
LANGUAGE c 
AS 'MODULE_PATHNAME', 'sweep_stopped_at_wrapper';

CREATE OR REPLACE FUNCTION guestly."host_code"() RETURNS TABLE (
	"pid" INT,  
	"since" timestamp with time zone,  
	"booking_id" TEXT  
)
STRICT
LANGUAGE c 
AS 'MODULE_PATHNAME', 'host_code_wrapper';

CREATE OR REPLACE FUNCTION guestly."define_index"(
	"bookings" oid, 
	"name" TEXT, 
	"keys" TEXT 
) RETURNS void
STRICT
LANGUAGE c 
AS 'MODULE_PATHNAME', 'define_index_wrapper';

CREATE OR REPLACE FUNCTION guestly."properties_without_listing"() RETURNS TEXT[] 
STRICT
LANGUAGE c 
AS 'MODULE_PATHNAME', 'properties_without_listing_wrapper';

CREATE OR REPLACE FUNCTION guestly."named_reservations"(
	"bookings" oid, 
	"key_column" TEXT 
) RETURNS TABLE (
	"booking_id" TEXT,  
	"reservation_id" TEXT  
)
STRICT
LANGUAGE c 
AS 'MODULE_PATHNAME', 'named_reservations_wrapper';

CREATE OR REPLACE FUNCTION guestly."define_triggers"(
	"bookings" oid, 
	"arguments" TEXT[], 
	"changed" TEXT, 
	"columns" TEXT[] 
) RETURNS void
STRICT
LANGUAGE c 
AS 'MODULE_PATHNAME', 'define_triggers_wrapper';

CREATE OR REPLACE FUNCTION guestly."drop_triggers"(
	"bookings" oid 
) RETURNS void
STRICT
LANGUAGE c 
AS 'MODULE_PATHNAME', 'drop_triggers_wrapper';

CREATE OR REPLACE FUNCTION guestly."define_comment"(
	"bookings" oid, 
	"words" TEXT 
) RETURNS void
STRICT
LANGUAGE c 
AS 'MODULE_PATHNAME', 'define_comment_wrapper';

CREATE OR REPLACE FUNCTION guestly."trigger_names"() RETURNS TEXT[] 
IMMUTABLE STRICT
LANGUAGE c 
AS 'MODULE_PATHNAME', 'trigger_names_wrapper';

CREATE OR REPLACE FUNCTION guestly."define_columns"(
	"bookings" oid 
) RETURNS void
STRICT
LANGUAGE c 
AS 'MODULE_PATHNAME', 'define_columns_wrapper';

CREATE OR REPLACE FUNCTION guestly."preloaded_libraries"() RETURNS TEXT 
STRICT
LANGUAGE c 
AS 'MODULE_PATHNAME', 'preloaded_libraries_wrapper';

COMMENT ON FUNCTION @extschema@.guestly_attach(regclass) IS 'adds columns, indexes and triggers to the table of bookings; for the owner of the table; may be called again at any time';
COMMENT ON FUNCTION @extschema@.guestly_detach() IS 'removes the triggers from the table of bookings; for the owner of the table; columns and their data stay';

CREATE TRIGGER refill_reservations AFTER TRUNCATE ON guestly.reservations FOR EACH STATEMENT
    EXECUTE FUNCTION guestly.refill_reservations();
CREATE TRIGGER let_owner_read AFTER INSERT OR DELETE OR UPDATE ON guestly.attachment FOR EACH ROW
    EXECUTE FUNCTION guestly.let_owner_read();

-- The roles. Roles belong to the server: another database may have made them, or a person.
DO $$
DECLARE
    own_level CONSTANT text := pg_catalog.current_setting('client_min_messages');
    wrong text; members text;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'guestly_owner') THEN
        CREATE ROLE guestly_owner NOLOGIN NOINHERIT;
        COMMENT ON ROLE guestly_owner IS 'owns the objects of guestly_sync; its functions and its worker run with the rights of this role';
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
                  HINT = 'It will own the extension''s objects. Remove them: ALTER ROLE guestly_owner NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS; and REVOKE the memberships.';
    END IF;
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'guestly_admin') THEN
        CREATE ROLE guestly_admin NOLOGIN;
        COMMENT ON ROLE guestly_admin IS 'may call the functions of guestly_sync and read guestly.status, queue and attempts';
    ELSE
        SELECT pg_catalog.string_agg(pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(m.member)), ', ') INTO members
        FROM pg_catalog.pg_auth_members m WHERE m.roleid = (SELECT r.oid FROM pg_catalog.pg_roles r WHERE r.rolname = 'guestly_admin');
        IF members IS NOT NULL OR (SELECT r.rolcanlogin FROM pg_catalog.pg_roles r WHERE r.rolname = 'guestly_admin') THEN
            -- Extension scripts silence notices.
            PERFORM pg_catalog.set_config('client_min_messages', 'notice', true);
            RAISE NOTICE 'guestly_sync: the role guestly_admin exists already and may now call the functions of the extension; %',
                pg_catalog.concat_ws(', ', CASE WHEN (SELECT r.rolcanlogin FROM pg_catalog.pg_roles r WHERE r.rolname = 'guestly_admin') THEN 'it can log in' END,
                                     'its members: ' || members);
            PERFORM pg_catalog.set_config('client_min_messages', own_level, true);
        END IF;
    END IF;
END $$;

-- The owner, before anything is granted: a grant is the owner's.
DO $$
DECLARE
    object record;
BEGIN
    ALTER SCHEMA guestly OWNER TO guestly_owner;
    FOR object IN
        SELECT CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind, c.oid::pg_catalog.regclass::text AS name
        FROM pg_catalog.pg_class c WHERE c.relnamespace = 'guestly'::pg_catalog.regnamespace AND c.relkind IN ('r', 'v', 'S')
          AND NOT (c.relkind = 'S' AND EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
                                               AND d.objid = c.oid AND d.deptype IN ('a', 'i')))
        UNION ALL
        SELECT 'ROUTINE', d.objid::pg_catalog.regprocedure::text FROM pg_catalog.pg_depend d
        WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
          AND d.deptype = 'e' AND d.refobjid = (SELECT e.oid FROM pg_catalog.pg_extension e WHERE e.extname = 'guestly_sync')
        UNION ALL
        SELECT 'DOMAIN', t.oid::pg_catalog.regtype::text FROM pg_catalog.pg_type t
        WHERE t.typnamespace = 'guestly'::pg_catalog.regnamespace AND t.typtype = 'd'
    LOOP
        EXECUTE pg_catalog.format('ALTER %s %s OWNER TO guestly_owner', object.kind, object.name);
    END LOOP;
    -- Its functions call those in the extension's schema, and the owner of an attached table needs the right to look into it. Also
    -- where PUBLIC may look into it: a review of the server's rights may take that away.
    GRANT USAGE ON SCHEMA @extschema@ TO guestly_owner WITH GRANT OPTION;
END $$;

-- Rights of the new functions: none for anybody, whatever default privileges gave. What an administrator granted on the others stays.
DO $$
DECLARE
    name text; grantee record;
BEGIN
    FOREACH name IN ARRAY ARRAY[
        'guestly.owner_of(oid)',
        'guestly.attached()',
        'guestly.relation_named(text)',
        'guestly.children(regclass)',
        'guestly.candidates(name[])',
        'guestly.attach(regclass)',
        'guestly.must_be_table(regclass)',
        'guestly.know_named_reservations(regclass, text)',
        'guestly.refill_reservations()',
        'guestly.ignore_comment(regclass, text, text)',
        'guestly.give_owner_rights(name)',
        'guestly.has_owner_rights(name)',
        'guestly.detach(regclass)',
        'guestly.host_code_hangs()',
        'guestly.doctor_of_host_code(regclass)',
        'guestly.sweep_fix(regclass)',
        'guestly.doctor_of_roles()',
        'guestly.doctor_of_others(regclass)',
        'guestly.sweep_stopped_at()',
        'guestly.host_code()',
        'guestly.define_index(oid, TEXT, TEXT)',
        'guestly.properties_without_listing()',
        'guestly.named_reservations(oid, TEXT)',
        'guestly.define_triggers(oid, TEXT[], TEXT, TEXT[])',
        'guestly.drop_triggers(oid)',
        'guestly.define_comment(oid, TEXT)',
        'guestly.trigger_names()',
        'guestly.define_columns(oid)',
        'guestly.preloaded_libraries()']
    LOOP
        FOR grantee IN
            SELECT DISTINCT CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END AS name
            FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) g
            WHERE p.oid = name::regprocedure AND g.grantee <> p.proowner
        LOOP
            EXECUTE format('REVOKE ALL ON FUNCTION %s FROM %s', name, grantee.name);
        END LOOP;
        EXECUTE format('ALTER FUNCTION %s SET search_path = pg_catalog, pg_temp', name);
    END LOOP;
END $$;

-- Mapping expressions that 0.2.0 wrote: functions are named with their schema now, since they run under the path of the host's code; and
-- a table of properties of another role is not read with the rights of the owner of the bookings any more.
UPDATE guestly.field_map m SET expression = 'pg_catalog.split_part(' || o.name || '::text, '' '', 1)'
FROM (SELECT substring(f.expression FROM '^split_part\((b\..+), '' '', 1\)$') AS name FROM guestly.field_map f WHERE f.field = 'guest_first_name') o
WHERE m.field = 'guest_first_name' AND o.name IS NOT NULL;
UPDATE guestly.field_map m
SET expression = 'coalesce(nullif(pg_catalog.regexp_replace(' || o.name || '::text, ''^\S+\s*'', ''''), ''''), ' || o.name || '::text)'
FROM (SELECT substring(f.expression FROM '^coalesce\(nullif\(regexp_replace\((b\.[^,]+), ') AS name FROM guestly.field_map f WHERE f.field = 'guest_last_name') o
WHERE m.field = 'guest_last_name' AND m.expression = 'coalesce(nullif(regexp_replace(' || o.name || ', ''^\S+\s*'', ''''), ''''), ' || o.name || ')';
DELETE FROM guestly.field_map m
WHERE m.field = 'property' AND m.expression ~ '^\(SELECT p\.slug FROM .+ p WHERE p\..+ = b\..+\)$'
  AND EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = guestly.attached() AND k.contype = 'f' AND guestly.first_column(k.confrelid, 'slug') IS NOT NULL
              AND m.expression LIKE '(SELECT p.slug FROM ' || k.confrelid::regclass || ' p %' AND guestly.owner_of(k.confrelid) <> guestly.owner_of(guestly.attached()));

-- The owner of the attached table gets the rights that the new functions need.
UPDATE guestly.attachment SET bookings = bookings;
