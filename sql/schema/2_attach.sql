-- Attaches the bookings table: columns, indexes, triggers, mapping. Called by CREATE EXTENSION and by users.

-- DDL on the host's table. The library runs it with the privileges of the table's owner.
CREATE FUNCTION guestly.define_columns(bookings oid) RETURNS void
STRICT LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'define_columns_wrapper';
CREATE FUNCTION guestly.define_index(bookings oid, name text, keys text) RETURNS void
STRICT LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'define_index_wrapper';
CREATE FUNCTION guestly.define_triggers(bookings oid, arguments text[], changed text, columns text[]) RETURNS void
STRICT LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'define_triggers_wrapper';
CREATE FUNCTION guestly.drop_triggers(bookings oid) RETURNS void
STRICT LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'drop_triggers_wrapper';
CREATE FUNCTION guestly.define_comment(bookings oid, comment text) RETURNS void
STRICT LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'define_comment_wrapper';
CREATE FUNCTION guestly.trigger_names() RETURNS text[]
IMMUTABLE STRICT LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'trigger_names_wrapper';
CREATE FUNCTION guestly.named_reservations(bookings oid, key_column text) RETURNS TABLE (booking_id text, reservation_id text)
STRICT LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'named_reservations_wrapper';
CREATE FUNCTION guestly.properties_without_listing() RETURNS text[]
STRICT LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'properties_without_listing_wrapper';
CREATE FUNCTION guestly.check_expression(field text, expression text) RETURNS void
STRICT LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'check_expression_wrapper';
CREATE FUNCTION guestly.mapped_columns() RETURNS smallint[]
STRICT LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'mapped_columns_wrapper';

CREATE FUNCTION @extschema@.guestly_attach(bookings regclass DEFAULT 'bookings'::text::regclass) RETURNS void
LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'guestly_attach_wrapper';
COMMENT ON FUNCTION @extschema@.guestly_attach(regclass) IS 'adds columns, indexes and triggers to the bookings table; must be called by its owner; can be repeated at any time';
CREATE FUNCTION @extschema@.guestly_detach() RETURNS void
LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'guestly_detach_wrapper';
COMMENT ON FUNCTION @extschema@.guestly_detach() IS 'removes the triggers from the bookings table; must be called by its owner; keeps the columns and their data';

-- Returns the first of these columns that the table has.
CREATE FUNCTION guestly.first_column(bookings regclass, VARIADIC names text[]) RETURNS text
LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$
    SELECT a.attname::text FROM unnest(names) WITH ORDINALITY AS n (name, place)
    JOIN pg_attribute a ON a.attrelid = bookings AND a.attname = n.name AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY n.place LIMIT 1
$$;

-- Returns the expression for a field: its column, or the fallback.
CREATE FUNCTION guestly.column_expression(bookings regclass, fallback text, VARIADIC names text[]) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT coalesce('b.' || quote_ident(guestly.first_column(bookings, VARIADIC names)), fallback) $$;

-- Operators know a property by its slug, if the table that property_id references has one. Not for a table of another role: the
-- expression runs with the privileges of the owner of the bookings table, and planning it would run code of the other table's owner.
-- Such slugs are read separately (src/pg/host/properties.rs) as long as the mapping has no property.
CREATE FUNCTION guestly.property_expression(bookings regclass, property_column text) RETURNS text
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

CREATE FUNCTION guestly.owner_of(relation oid) RETURNS oid
LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$ SELECT c.relowner FROM pg_class c WHERE c.oid = relation $$;

-- Derives the mapping from the columns of the table. Fields that already have a row keep it.
CREATE FUNCTION guestly.fill_field_map(bookings regclass) RETURNS void
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

-- The attached table; null if there is none or it was dropped. Reads the catalogs, because to_regclass requires USAGE on the schema.
CREATE FUNCTION guestly.attached() RETURNS regclass
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT guestly.relation_named(a.bookings) FROM guestly.attachment a $$;

CREATE FUNCTION guestly.relation_named(name text) RETURNS regclass
LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$
    SELECT c.oid::regclass FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = (parse_ident(name))[1] AND c.relname = (parse_ident(name))[2]
$$;

-- One index for the sweep, two for queries of the administrator. An index is skipped if a similar one exists.
CREATE FUNCTION guestly.add_indexes(bookings regclass, payment_column text) RETURNS void
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

CREATE FUNCTION guestly.fill_status_map() RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO guestly.status_map (booking_status, guestly_status)
    VALUES ('pending', 'inquiry'), ('confirmed', 'confirmed'), ('cancelled', 'canceled'), ('canceled', 'canceled'), ('completed', 'confirmed')
    ON CONFLICT (booking_status) DO NOTHING
$$;

-- Partitions and inheritance children at any depth.
CREATE FUNCTION guestly.children(bookings regclass) RETURNS SETOF oid
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    WITH RECURSIVE below AS (
        SELECT i.inhrelid FROM pg_inherits i WHERE i.inhparent = bookings
        UNION SELECT i.inhrelid FROM pg_inherits i JOIN below b ON i.inhparent = b.inhrelid
    )
    SELECT inhrelid FROM below
$$;

-- Tables named `bookings` in these schemas, for CREATE EXTENSION. A table is trusted if its owner is a superuser, owns the database or
-- owns a table in the schema public, and if all its partitions and children have the same owner.
CREATE FUNCTION guestly.candidates(schemas name[]) RETURNS TABLE (relation regclass, name text, owner name, is_trusted boolean)
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

-- The body of guestly_attach(), which has checked that the caller owns the table.
CREATE FUNCTION guestly.attach(bookings regclass) RETURNS void
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

-- Raises an error unless the relation is a permanent, logged table whose partitions and children have the same owner.
CREATE FUNCTION guestly.must_be_table(bookings regclass) RETURNS void
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

-- Records the state of the bookings when the table is attached: bookings paid so far are not sent, reservation ids in the rows are
-- imported, and bookings that were queued when the extension was dropped are queued again and looked up first.
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

-- Queues paid bookings that no trigger queued. Guestly may already have them (a restored dump), so they are looked up first. If a call
-- may be taking effect since uncertain_since, look-ups continue until the propagation delay has passed.
CREATE FUNCTION guestly.enqueue_missed(ids text[], arrivals date[], uncertain_since timestamptz) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO guestly.queue (booking_id, arrival, verify_first, uncertain_since)
    SELECT m.id, m.arrival, true, enqueue_missed.uncertain_since FROM unnest(ids, arrivals) AS m (id, arrival)
    ON CONFLICT (booking_id) DO NOTHING
$$;

-- Imports the reservation ids in the rows of the bookings. Nothing else is known of these reservations: they are read back before a change.
CREATE FUNCTION guestly.import_reservation_ids(bookings regclass, key_column text) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO guestly.reservations (booking_id, reservation_id, confirmation_code, adopted)
    SELECT n.booking_id, n.reservation_id, '', true FROM guestly.named_reservations(bookings, key_column) n
    ON CONFLICT (booking_id) DO NOTHING
$$;

-- After a TRUNCATE, changes and cancellations would no longer be sent: import at least the reservation ids in the rows of the bookings.
CREATE FUNCTION guestly.refill_reservations() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM guestly.import_reservation_ids(guestly.attached(), a.key_column) FROM guestly.attachment a WHERE guestly.attached() IS NOT NULL;
    RETURN NULL;
END $$;
CREATE TRIGGER refill_reservations AFTER TRUNCATE ON guestly.reservations FOR EACH STATEMENT
    EXECUTE FUNCTION guestly.refill_reservations();

CREATE FUNCTION guestly.qualified_name(bookings regclass) RETURNS text
LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$ SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = bookings $$;

-- The primary key of the table: one column of a type that can be a key of the queue.
CREATE FUNCTION guestly.booking_key(bookings regclass, OUT name text, OUT type text)
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

-- The time of the attachment and the queued bookings survive DROP EXTENSION in the comment of a column that is kept, so that the next
-- CREATE EXTENSION continues from there.
CREATE FUNCTION guestly.remembered(bookings regclass) RETURNS text
LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$
    SELECT col_description(bookings, a.attnum) FROM pg_attribute a WHERE a.attrelid = bookings AND a.attname = 'guestly_sync_attempts'
$$;

-- The table owner may have changed the comment: an invalid one is ignored with a WARNING.
CREATE FUNCTION guestly.remembered_attachment(bookings regclass) RETURNS timestamptz
LANGUAGE plpgsql STABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN substring(guestly.remembered(bookings) FROM 'attached since (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z)')::timestamptz;
EXCEPTION WHEN data_exception THEN
    PERFORM guestly.ignore_comment(bookings, 'the table is treated as attached now', SQLERRM);
    RETURN NULL;
END $$;

CREATE FUNCTION guestly.remembered_waiting(bookings regclass) RETURNS text[]
LANGUAGE plpgsql STABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT coalesce(array_agg(w.id), '{}')
            FROM jsonb_array_elements_text(coalesce(substring(guestly.remembered(bookings) FROM 'waiting: (\[.*\])$')::jsonb, '[]')) AS w (id));
EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
    PERFORM guestly.ignore_comment(bookings, 'bookings that were queued are not queued again; to list them: SELECT * FROM guestly_backfill();', SQLERRM);
    RETURN '{}';
END $$;

CREATE FUNCTION guestly.ignore_comment(bookings regclass, consequence text, reason text) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE WARNING 'guestly_sync: cannot parse the comment on column %.guestly_sync_attempts: %', bookings, consequence
        USING DETAIL = reason, HINT = format('COMMENT ON COLUMN %s.guestly_sync_attempts IS NULL;', bookings);
END $$;

-- The comment lists at most 10,000 queued bookings; guestly_backfill() finds the others.
CREATE FUNCTION guestly.remember_attachment(bookings regclass, with_waiting boolean DEFAULT false) RETURNS void
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

-- Called by the library before DROP EXTENSION.
CREATE FUNCTION guestly.prepare_drop() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    attached regclass := guestly.attached();
BEGIN
    IF attached IS NOT NULL THEN
        PERFORM guestly.remember_attachment(attached, with_waiting => true);
    END IF;
END $$;

-- The sweep reads the bookings and these tables in one statement, as the owner of the bookings table, who also creates the triggers.
-- A dump does not contain privileges that were granted by CREATE EXTENSION, so a trigger on guestly.attachment grants them when its row
-- is restored. A former owner loses them.
CREATE FUNCTION guestly.let_owner_read() RETURNS trigger
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
CREATE TRIGGER let_owner_read AFTER INSERT OR DELETE OR UPDATE ON guestly.attachment FOR EACH ROW
    EXECUTE FUNCTION guestly.let_owner_read();

-- CREATE TRIGGER requires EXECUTE on the function and USAGE on its schema.
CREATE FUNCTION guestly.give_owner_rights(holder name) RETURNS void
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

CREATE FUNCTION guestly.has_owner_rights(holder name) RETURNS boolean
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

-- Rejects an invalid expression when it is written. pg_restore turns check_function_bodies off, because objects that an expression
-- needs may be restored later; then nothing is checked.
CREATE FUNCTION guestly.check_field_map() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF current_setting('check_function_bodies')::boolean THEN
        PERFORM guestly.check_expression(NEW.field, NEW.expression);
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER check_field_map BEFORE INSERT OR UPDATE ON guestly.field_map FOR EACH ROW EXECUTE FUNCTION guestly.check_field_map();
