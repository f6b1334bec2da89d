-- enqueue_paid.sql for one booking ($1 its id, $2 the day of arrival or null), which most sales are: without arrays it takes an
-- eighth less time.
INSERT INTO guestly.queue AS q (booking_id, arrival)
SELECT $1::pg_catalog.text, $2::pg_catalog.date
WHERE NOT EXISTS (SELECT FROM guestly.old_bookings o WHERE o.booking_id OPERATOR (pg_catalog.=) $1)
  AND NOT EXISTS (SELECT FROM guestly.reservations r WHERE r.booking_id OPERATOR (pg_catalog.=) $1
                  AND r.reservation_id OPERATOR (pg_catalog.!~~) 'test-%')
ON CONFLICT (booking_id) DO NOTHING
RETURNING q.booking_id
