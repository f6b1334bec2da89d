-- Functions for users and migrations. Privileges are set in 6_rights.sql. Errors have an SQLSTATE, a detail and a hint.

-- Functions of the library. `cargo test --test upgrade` compares them with their declarations in Rust.
CREATE FUNCTION guestly.booking(booking_id text) RETURNS jsonb
STRICT LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'booking_wrapper';
CREATE FUNCTION guestly.preview(booking_id text) RETURNS jsonb
STRICT LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'preview_wrapper';
CREATE FUNCTION guestly.mark_pending(booking_ids text[]) RETURNS void
STRICT LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'mark_pending_wrapper';
CREATE FUNCTION guestly.paid_bookings(since double precision DEFAULT NULL) RETURNS TABLE (booking_id text, reservation_id text, arrival text, departure text,
                                                                                 reference text, payment_status text)
LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'paid_bookings_wrapper';
CREATE FUNCTION guestly.paid_booking_statuses() RETURNS text[]
STRICT LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'paid_booking_statuses_wrapper';
CREATE FUNCTION guestly.is_paid(payment_status text) RETURNS boolean
STRICT LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'is_paid_wrapper';
CREATE FUNCTION guestly.setting_values() RETURNS jsonb
STRICT LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'setting_values_wrapper';
CREATE FUNCTION guestly.this_installation() RETURNS TABLE (system_identifier text, database_oid oid, environment text)
STRICT LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'this_installation_wrapper';
CREATE FUNCTION guestly.wake_worker() RETURNS void
STRICT LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'wake_worker_wrapper';
CREATE FUNCTION guestly.live_worker() RETURNS TABLE (pid integer, since timestamptz)
STRICT LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'live_worker_wrapper';
CREATE FUNCTION guestly.ask_worker() RETURNS boolean
STRICT LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'ask_worker_wrapper';
CREATE FUNCTION guestly.ask_for_mail() RETURNS boolean
STRICT LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'ask_for_mail_wrapper';
CREATE FUNCTION guestly.host_code() RETURNS TABLE (pid integer, since timestamptz, booking_id text)
STRICT LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'host_code_wrapper';
CREATE FUNCTION guestly.sweep_stopped_at() RETURNS timestamptz
STRICT LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'sweep_stopped_at_wrapper';
CREATE FUNCTION guestly.is_preloaded() RETURNS boolean
STRICT LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'is_preloaded_wrapper';
CREATE FUNCTION guestly.preloaded_libraries() RETURNS text
STRICT LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'preloaded_libraries_wrapper';
CREATE FUNCTION guestly.library_version() RETURNS text
STRICT LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'library_version_wrapper';
CREATE FUNCTION guestly.caller_search_path() RETURNS text
STRICT LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'caller_search_path_wrapper';

-- Returns the booking, or raises an error with a hint.
CREATE FUNCTION guestly.must_exist(booking_id text) RETURNS jsonb
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

-- Requeues bookings: the number of attempts is reset, the log is kept. Bookings in flight or with an unknown outcome are left to the
-- worker. A booking with an earlier create is looked up first, because that create may have succeeded. Returns the ids that were queued;
-- their rows in the bookings table are not updated yet. The worker also calls this for failed bookings that were corrected.
CREATE FUNCTION guestly.requeue(ids text[], arrivals date[], forced boolean, look_first boolean DEFAULT false,
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

-- The same for users: also marks the bookings as pending, wakes the worker and returns the number of bookings.
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

CREATE FUNCTION guestly_sync(booking_id text, force boolean DEFAULT false) RETURNS text
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
COMMENT ON FUNCTION guestly_sync(text, boolean) IS 'queues one booking now; returns queued, or synced if it already is';

-- PostgREST chooses an overload by the names of its arguments, so they differ.
CREATE FUNCTION guestly_sync(booking_uuid uuid, force boolean DEFAULT false) RETURNS text
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT @extschema@.guestly_sync(booking_uuid::text, force) $$;
CREATE FUNCTION guestly_sync(booking_number bigint, force boolean DEFAULT false) RETURNS text
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT @extschema@.guestly_sync(booking_number::text, force) $$;

CREATE FUNCTION guestly_retry_failed(error_class text DEFAULT NULL, max_rows bigint DEFAULT NULL) RETURNS bigint
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
COMMENT ON FUNCTION guestly_retry_failed(text, bigint) IS 'requeues failed bookings, optionally only those of one error class and at most max_rows; returns their number';

CREATE FUNCTION guestly_preview(booking_id text) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM guestly.must_exist(booking_id);
    RETURN guestly.preview(booking_id);
END $$;
COMMENT ON FUNCTION guestly_preview(text) IS 'returns the exact request that would be sent: method, path relative to base_url, body; sends nothing';
CREATE FUNCTION guestly_preview(booking_uuid uuid) RETURNS jsonb
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT @extschema@.guestly_preview(booking_uuid::text) $$;
CREATE FUNCTION guestly_preview(booking_number bigint) RETURNS jsonb
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT @extschema@.guestly_preview(booking_number::text) $$;

CREATE FUNCTION guestly_pause(reason text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO guestly.pause (reason) VALUES (guestly_pause.reason)
    ON CONFLICT ((true)) DO UPDATE SET reason = excluded.reason, paused_at = excluded.paused_at;
    PERFORM guestly.wake_worker();
END $$;
COMMENT ON FUNCTION guestly_pause(text) IS 'stops sending immediately; bookings are still queued; survives a restart';

CREATE FUNCTION guestly_resume() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM guestly.pause;
    PERFORM guestly.wake_worker();
END $$;
COMMENT ON FUNCTION guestly_resume() IS 'resumes sending after guestly_pause()';

CREATE FUNCTION guestly_test_alert() RETURNS text
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
COMMENT ON FUNCTION guestly_test_alert() IS 'sends a test mail; returns the answer of the mail server';

-- Bookings that were in flight or had an unknown outcome when the copy was made are looked up before anything is created.
CREATE FUNCTION guestly_arm() RETURNS void
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
COMMENT ON FUNCTION guestly_arm() IS 'allows sending from this server and database; required once on a copy';

CREATE FUNCTION guestly.is_armed() RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(bool_and((i.system_identifier, i.database_oid, i.environment) = (t.system_identifier, t.database_oid, t.environment)), false)
    FROM guestly.installations i CROSS JOIN guestly.this_installation() t
$$;

-- Bookings that were paid before the table was attached, were synced in test mode, or lost their reservation in a restore. A past stay is
-- skipped: it no longer blocks the calendar, and Guestly rejects it.
CREATE FUNCTION guestly_backfill(since timestamptz DEFAULT NULL, dry_run boolean DEFAULT true)
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
COMMENT ON FUNCTION guestly_backfill(timestamptz, boolean) IS 'lists paid bookings without a reservation; with dry_run => false, queues them, nearest arrival first';

-- A row of guestly.attempts as a sentence.
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

-- Why a booking was never queued.
CREATE FUNCTION guestly.why_not_queued(booking jsonb) RETURNS text
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

-- The extension's triggers that are missing on the bookings table or disabled; null if there are none.
CREATE FUNCTION guestly.triggers_off() RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT string_agg(n.name, ', ') FROM unnest(guestly.trigger_names()) AS n (name)
    WHERE NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = guestly.attached()
                      AND t.tgname = n.name AND t.tgenabled IN ('O', 'A'))
$$;

-- Why nothing is sent at all; null if bookings are sent.
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

CREATE FUNCTION guestly_timeline(booking_id text) RETURNS TABLE (at timestamptz, event text, detail text)
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
COMMENT ON FUNCTION guestly_timeline(text) IS 'history of one booking; if it was never queued, the reason';
CREATE FUNCTION guestly_timeline(booking_uuid uuid) RETURNS TABLE (at timestamptz, event text, detail text)
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT * FROM @extschema@.guestly_timeline(booking_uuid::text) $$;
CREATE FUNCTION guestly_timeline(booking_number bigint) RETURNS TABLE (at timestamptz, event text, detail text)
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT * FROM @extschema@.guestly_timeline(booking_number::text) $$;
