-- The triggers on the bookings table and the columns that they watch.

CREATE FUNCTION @extschema@.guestly_note_paid() RETURNS trigger
LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'guestly_note_paid_wrapper';
CREATE FUNCTION @extschema@.guestly_queue_paid() RETURNS trigger
LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'guestly_queue_paid_wrapper';

-- The columns that the mapping reads: all of them if an expression uses the whole row. The five columns that the worker writes are
-- never included.
CREATE FUNCTION guestly.watched_columns(bookings regclass, payment_column text) RETURNS text[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT array_agg(a.attname::text ORDER BY a.attnum)
    FROM pg_attribute a CROSS JOIN (SELECT guestly.mapped_columns() AS numbers) m
    WHERE a.attrelid = bookings AND a.attnum > 0 AND NOT a.attisdropped
      AND a.attname NOT IN ('guestly_reservation_id', 'guestly_sync_status', 'guestly_sync_error', 'guestly_synced_at', 'guestly_sync_attempts')
      AND (a.attname = payment_column OR a.attnum = ANY (m.numbers) OR 0 = ANY (m.numbers))
$$;

-- The condition "OLD and NEW differ in one of these columns". Columns are compared as text if their type has no equality operator
-- (json, point, xml) or has it outside pg_catalog, which is not on the search path here (hstore, geometry).
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

-- Three row triggers collect bookings that were paid, changed or deleted; three statement triggers write them to the queue. Updates of
-- other columns fire no trigger. Creating triggers locks the table, so they are not created again, and the wait for the lock is short.
CREATE FUNCTION guestly.add_triggers(bookings regclass, key_column text, payment_column text, arrival_column text, columns text[]) RETURNS void
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

-- After a change of the mapping, makes the triggers watch the columns that it now reads. The triggers are created again only if the
-- columns differ, because that locks the table; and not by pg_restore, because the dump contains the triggers.
CREATE FUNCTION guestly.watch_field_map() RETURNS trigger
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
CREATE TRIGGER watch_field_map AFTER INSERT OR UPDATE OR DELETE ON guestly.field_map
    FOR EACH STATEMENT EXECUTE FUNCTION guestly.watch_field_map();

-- Queues bookings that no trigger queued: after the table is attached again, they would count as paid before.
CREATE FUNCTION guestly.detach(bookings regclass) RETURNS void
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
