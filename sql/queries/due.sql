-- What may go now ($1 the time, $2 how many): nearest arrival first; locked until the claim is written. Not the bookings
-- that a call is in flight for ($3), whatever somebody made of their rows meanwhile.
WITH ready AS (
    SELECT q.* FROM guestly.queue q
    WHERE q.state = 'ready' AND q.booking_id <> ALL ($3)
    ORDER BY q.arrival NULLS FIRST, q.queued_at
    LIMIT $2 FOR UPDATE SKIP LOCKED
), timed AS (
    SELECT q.* FROM guestly.queue q
    WHERE q.state IN ('waiting', 'unknown') AND q.due_at <= pg_catalog.to_timestamp($1) AND q.booking_id <> ALL ($3)
    ORDER BY q.due_at
    LIMIT $2 FOR UPDATE SKIP LOCKED
)
SELECT d.booking_id, d.attempts, d.force, d.state = 'unknown' OR d.look_up_first OR d.doubt_since IS NOT NULL,
       extract(epoch FROM d.doubt_since)::float8, d.look_ups, d.creates, d.verdict, d.error_class, d.error,
       d.code, (SELECT r.reservation_id FROM guestly.reservations r WHERE r.booking_id = d.booking_id), d.claim
FROM (SELECT * FROM ready UNION ALL SELECT * FROM timed) d
ORDER BY d.arrival NULLS FIRST, d.queued_at
LIMIT $2
