-- Paid bookings unsent for longer than stale_after ($1 seconds), whatever the reason.
SELECT q.booking_id, q.state, q.error_class, q.error, extract(epoch FROM q.queued_at)::float8
FROM guestly.queue q
WHERE q.state <> 'failed' AND q.queued_at < clock_timestamp() - pg_catalog.make_interval(secs => $1)
ORDER BY q.queued_at LIMIT 1000
