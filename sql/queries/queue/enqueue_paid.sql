-- Bookings that became paid ($1 ids, $2 days of arrival or null). What Guestly holds already, and what was paid before the
-- attachment, is left alone. Every name is qualified: it runs under the search path of whoever pays. OFFSET 0 keeps both
-- questions look-ups by key: the plan is kept while the tables grow.
INSERT INTO guestly.queue AS q (booking_id, arrival)
SELECT p.id, p.arrival::pg_catalog.date
FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.text[]), pg_catalog.unnest($2::pg_catalog.text[])) AS p (id, arrival)
WHERE NOT EXISTS (SELECT FROM guestly.old_bookings o WHERE o.booking_id OPERATOR (pg_catalog.=) p.id OFFSET 0)
  AND NOT EXISTS (SELECT FROM guestly.reservations r WHERE r.booking_id OPERATOR (pg_catalog.=) p.id
                  AND r.reservation_id OPERATOR (pg_catalog.!~~) 'test-%' OFFSET 0)
ON CONFLICT (booking_id) DO NOTHING
RETURNING q.booking_id
