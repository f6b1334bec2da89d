-- Bookings that became paid, of paid_one.sql or paid_many.sql. What Guestly holds already, and what was paid before the attachment, is
-- left alone. The sale goes on while the SQL objects of the former version wait for ALTER EXTENSION UPDATE: this names only tables and
-- columns of every version, and not guestly.known_bookings. Every name is qualified: it runs under the search path of whoever pays.
-- OFFSET 0 keeps both questions look-ups by key: the plan is kept while the tables grow.
INSERT INTO guestly.queue AS q (booking_id, arrival)
SELECT p.id, p.arrival FROM paid p
WHERE NOT EXISTS (SELECT FROM guestly.old_bookings o WHERE o.booking_id OPERATOR (pg_catalog.=) p.id OFFSET 0)
  AND NOT EXISTS (SELECT FROM guestly.reservations r WHERE r.booking_id OPERATOR (pg_catalog.=) p.id
                  AND r.reservation_id OPERATOR (pg_catalog.!~~) 'test-%' OFFSET 0)
ON CONFLICT (booking_id) DO NOTHING
RETURNING q.booking_id
