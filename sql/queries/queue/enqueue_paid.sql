-- Queues bookings that became paid, from paid_one.sql or paid_many.sql, except those that have a reservation or were paid before the
-- table was attached. Must also work before ALTER EXTENSION UPDATE, so it uses only tables and columns of every version, and not
-- guestly.known_bookings. Every name is qualified, because it runs with the caller's search path. OFFSET 0 keeps both subqueries
-- look-ups by key: the plan is cached while the tables grow.
INSERT INTO guestly.queue AS q (booking_id, arrival)
SELECT p.id, p.arrival FROM paid p
WHERE NOT EXISTS (SELECT FROM guestly.old_bookings o WHERE o.booking_id OPERATOR (pg_catalog.=) p.id OFFSET 0)
  AND NOT EXISTS (SELECT FROM guestly.reservations r WHERE r.booking_id OPERATOR (pg_catalog.=) p.id
                  AND r.reservation_id OPERATOR (pg_catalog.!~~) 'test-%' OFFSET 0)
ON CONFLICT (booking_id) DO NOTHING
RETURNING q.booking_id
