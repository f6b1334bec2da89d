-- The system clock jumped by $1 seconds: due times move along, and so do the times of the last change of queued bookings'
-- reservations.
WITH moved AS (
    UPDATE guestly.queue q
    SET due_at = q.due_at + pg_catalog.make_interval(secs => $1), uncertain_since = q.uncertain_since + pg_catalog.make_interval(secs => $1)
    WHERE q.state IN ('waiting', 'unknown')
)
UPDATE guestly.reservations r
SET changed_at = r.changed_at + pg_catalog.make_interval(secs => $1)
FROM guestly.queue q WHERE q.booking_id = r.booking_id AND r.changed_at IS NOT NULL
