-- Bookings that wait, and details of some of them ($1 ids): tries and since when.
SELECT q.booking_id, q.attempts, extract(epoch FROM q.queued_at)::float8, q.error_class, q.error
FROM guestly.queue q WHERE q.booking_id = ANY ($1)
