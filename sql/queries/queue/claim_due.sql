-- Rows to send now ($1 the time, $2 how many): new sales, then changes, nearest arrival first; locked until the claim is written.
-- Excludes bookings in flight ($3), even if their rows were edited in the meantime, and those whose next call is of kind $4 (or null),
-- as far as that is known before the booking is read. If a row was deleted and re-created, an earlier unconfirmed create is found in
-- guestly.attempts, so verify before creating. The same for a restored row, which may have been sent since the dump. OFFSET 0 keeps the
-- subqueries look-ups by key: the plan is cached while the tables grow. Not guestly.known_bookings, because each execution of a cached
-- plan locks and checks every table of a view.
WITH ready AS (
    SELECT q.*, q.queued_in <> q.tableoid AS restored FROM guestly.queue q
    WHERE q.state = 'ready' AND q.booking_id <> ALL ($3)
      AND ($4::text IS NULL OR $4 <> CASE
           WHEN EXISTS (SELECT FROM guestly.reservations k WHERE k.booking_id = q.booking_id AND k.reservation_id NOT LIKE 'test-%' OFFSET 0) THEN 'follow_up'
           WHEN q.verify_first OR q.uncertain_since IS NOT NULL OR q.queued_in <> q.tableoid THEN 'look_up' ELSE 'create' END)
    ORDER BY q.follow_up, q.arrival NULLS FIRST, q.queued_at
    LIMIT $2 FOR UPDATE SKIP LOCKED
), timed AS (
    SELECT q.*, q.queued_in <> q.tableoid FROM guestly.queue q
    WHERE q.state IN ('waiting', 'unknown') AND q.due_at <= pg_catalog.to_timestamp($1) AND q.booking_id <> ALL ($3)
      AND ($4::text IS NULL OR $4 <> CASE
           WHEN EXISTS (SELECT FROM guestly.reservations k WHERE k.booking_id = q.booking_id AND k.reservation_id NOT LIKE 'test-%' OFFSET 0) THEN 'follow_up'
           WHEN q.state = 'unknown' OR q.verify_first OR q.uncertain_since IS NOT NULL OR q.queued_in <> q.tableoid THEN 'look_up' ELSE 'create' END)
    ORDER BY q.due_at
    LIMIT $2 FOR UPDATE SKIP LOCKED
)
SELECT d.booking_id, d.attempts, d.force,
       d.state = 'unknown' OR d.verify_first OR d.uncertain_since IS NOT NULL OR earlier.at IS NOT NULL OR d.restored AS verify_first,
       extract(epoch FROM CASE WHEN d.restored THEN pg_catalog.to_timestamp($1) ELSE coalesce(d.uncertain_since, earlier.at) END)::float8 AS uncertain_since,
       CASE WHEN d.restored THEN 0 ELSE d.look_ups END AS look_ups, CASE WHEN d.restored THEN 0 ELSE d.failed_reads END AS failed_reads,
       CASE WHEN earlier.at IS NULL THEN d.unconfirmed_creates ELSE 1 END AS unconfirmed_creates, d.pending_refusal, d.error_class, d.error,
       d.confirmation_code AS create_code, d.claim_id, d.state = 'waiting' AND NOT d.restored AS waited,
       r.reservation_id, r.confirmation_code, r.status, r.listing_id, r.check_in::text, r.check_out::text, r.adults, r.children,
       r.infants, r.pets, r.verified, r.ended, extract(epoch FROM r.changed_at)::float8 AS changed_at, r.notes, r.payment
FROM (SELECT * FROM ready UNION ALL SELECT * FROM timed) d
LEFT JOIN LATERAL (SELECT * FROM guestly.reservations k WHERE k.booking_id = d.booking_id OFFSET 0) r ON true
LEFT JOIN LATERAL (
    SELECT a.started_at + coalesce(a.duration_ms, 0) * interval '1 ms' AS at
    FROM (SELECT * FROM guestly.attempts k WHERE k.booking_id = d.booking_id OFFSET 0) a
    WHERE d.unconfirmed_creates = 0 AND a.operation = 'create' AND a.outcome IN ('unknown', 'unavailable')
      AND a.started_at > coalesce(r.recorded_at, '-infinity')
    ORDER BY a.started_at DESC LIMIT 1
) earlier ON true
ORDER BY d.follow_up, d.arrival NULLS FIRST, d.queued_at
LIMIT $2
