-- The triggers on the table of bookings: which there are, and which columns they watch.

CREATE FUNCTION guestly.trigger_names() RETURNS name[]
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT ARRAY['guestly_update', 'guestly_insert', 'guestly_delete', 'guestly_update_end', 'guestly_insert_end', 'guestly_delete_end']::name[]
$$;

-- The columns that the mapping reads. An expression over the whole row reads all of them; the five that the worker writes never
-- count.
CREATE FUNCTION guestly.watched_columns(bookings regclass, payment_column text) RETURNS text[]
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
CREATE FUNCTION guestly.is_changed(bookings regclass, columns text[]) RETURNS text
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
CREATE FUNCTION guestly.add_triggers(bookings regclass, key_column text, payment_column text, arrival_column text, columns text[]) RETURNS void
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
CREATE FUNCTION guestly.watch_field_map() RETURNS trigger
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
CREATE TRIGGER watch_field_map AFTER INSERT OR UPDATE OR DELETE ON guestly.field_map
    FOR EACH STATEMENT EXECUTE FUNCTION guestly.watch_field_map();

-- What no trigger queued is queued now: once the table is attached again, it would count as paid before.
CREATE FUNCTION guestly_detach() RETURNS void
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
