\echo Use "ALTER EXTENSION guestly_sync UPDATE" to load this file. \quit
-- From 0.1.0 to 0.2.0.

-- Queues bookings afresh: attempts start over, history stays. What is in flight or in doubt is left to the worker; Guestly is
-- asked first, since an earlier life of the booking may have got through.
CREATE OR REPLACE FUNCTION guestly.queue_afresh(ids text[], arrivals date[], forced boolean, look_first boolean DEFAULT false) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    queued text[];
BEGIN
    WITH written AS (
        INSERT INTO guestly.queue AS q (booking_id, arrival, force, look_up_first)
        SELECT n.id, n.arrival, forced, look_first OR EXISTS (SELECT FROM guestly.attempts a WHERE a.booking_id = n.id AND a.operation = 'create')
                                        OR EXISTS (SELECT FROM guestly.old_bookings o WHERE o.booking_id = n.id)
        FROM unnest(ids, arrivals) AS n (id, arrival)
        ON CONFLICT (booking_id) DO UPDATE
        SET state = 'ready', attempts = 0, due_at = clock_timestamp(), queued_at = clock_timestamp(), arrival = excluded.arrival,
            force = q.force OR excluded.force, look_up_first = q.look_up_first OR excluded.look_up_first OR q.creates > 0,
            look_ups = 0, verdict = NULL,
            error_class = NULL, error = NULL
        WHERE q.state IN ('ready', 'waiting', 'failed')
        RETURNING q.booking_id
    )
    SELECT coalesce(array_agg(w.booking_id), '{}') INTO queued FROM written w;
    DELETE FROM guestly.withdrawn w WHERE w.booking_id = ANY (queued);
    PERFORM guestly.mark_pending(queued);
    PERFORM guestly.wake_worker();
    RETURN cardinality(queued);
END $$;
