-- Paid bookings not sent for longer than stale_after ($1 seconds), for any reason. A backfill can take hours: of its bookings, only those
-- with an arrival within two days, which are sent first.
SELECT q.booking_id, q.state::text AS state, q.error_class, q.error, extract(epoch FROM q.queued_at)::float8 AS queued_at
FROM guestly.queue q
WHERE q.state <> 'failed' AND (q.backfill IS NULL OR q.arrival <= current_date + 2)
  AND q.queued_at < clock_timestamp() - pg_catalog.make_interval(secs => $1)
ORDER BY q.queued_at LIMIT 1000
