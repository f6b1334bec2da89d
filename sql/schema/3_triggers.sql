-- The triggers on the table of bookings: which there are, and which columns they watch.

-- The triggers on the table of bookings.
CREATE FUNCTION @extschema@.guestly_note_paid() RETURNS trigger
LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'guestly_note_paid_wrapper';
CREATE FUNCTION @extschema@.guestly_queue_paid() RETURNS trigger
LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'guestly_queue_paid_wrapper';

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

-- The mapping was changed: the triggers watch the columns that it reads now. They are re-created only if those differ, since that
-- locks the table; and not while a dump is restored, which contains the triggers.
CREATE FUNCTION guestly.watch_field_map() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    attached record;
    columns text[];
BEGIN
    SELECT guestly.relation_named(a.bookings) AS bookings, a.key_column, a.payment_column, a.arrival_column, a.watched INTO attached FROM guestly.attachment a;
    -- Nothing is watched yet: guestly_attach() is still running.
    IF attached.bookings IS NULL OR cardinality(attached.watched) = 0 OR NOT current_setting('check_function_bodies')::boolean THEN
        RETURN NULL;
    END IF;
    BEGIN
        -- Those of a restored dump, and of whoever turned the check off, were never looked at.
        PERFORM guestly.check_expression(m.field, m.expression) FROM guestly.field_map m;
        columns := guestly.watched_columns(attached.bookings, attached.payment_column);
    EXCEPTION WHEN OTHERS THEN
        -- Another expression is broken, for example because a column was dropped. The operator corrects them one at a time.
        RAISE WARNING 'triggers on % were not updated and still watch the old columns: %', attached.bookings, SQLERRM
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

-- Paid bookings that no trigger queued are queued now: once the table is attached again, they would count as paid before.
CREATE FUNCTION guestly.detach(bookings regclass) RETURNS void
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
            PERFORM guestly.enqueue_missed(array_agg(p.booking_id), array_agg(p.arrival::date), NULL) FROM guestly.paid_bookings() p
            WHERE p.reservation_id IS NULL AND NOT EXISTS (SELECT FROM guestly.known_bookings k WHERE k.booking_id = p.booking_id);
        EXCEPTION WHEN OTHERS THEN
            RAISE WARNING 'guestly_sync: cannot search for paid bookings that no trigger queued: %', SQLERRM
                USING HINT = 'Once the table is attached again, SELECT * FROM guestly_backfill() lists them.';
        END;
        PERFORM guestly.drop_triggers(attached);
    END IF;
    DELETE FROM guestly.attachment;
END $$;
