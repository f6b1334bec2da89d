-- After the clock jumped by $1 seconds: shifts the due times of the queue and the last changes of queued bookings' reservations by as much.
WITH moved AS (
    UPDATE guestly.queue q
    SET due_at = q.due_at + pg_catalog.make_interval(secs => $1), uncertain_since = q.uncertain_since + pg_catalog.make_interval(secs => $1)
    WHERE q.state IN ('waiting', 'unknown')
)
UPDATE guestly.reservations r
SET changed_at = r.changed_at + pg_catalog.make_interval(secs => $1)
FROM guestly.queue q WHERE q.booking_id = r.booking_id AND r.changed_at IS NOT NULL
