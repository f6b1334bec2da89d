-- Marks bookings as changed ($1 ids, $2 arrival dates or null) if they are known. A plain insert that waits for no other transaction; the
-- worker compares them. Like queue/enqueue_paid.sql, it uses only objects of every version, and all names are qualified.
INSERT INTO guestly.changes (booking_id, arrival)
SELECT p.id, p.arrival::pg_catalog.date
FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.text[]), pg_catalog.unnest($2::pg_catalog.text[])) AS p (id, arrival)
WHERE EXISTS (SELECT FROM guestly.reservations r WHERE r.booking_id OPERATOR (pg_catalog.=) p.id OFFSET 0)
   OR EXISTS (SELECT FROM guestly.queue q WHERE q.booking_id OPERATOR (pg_catalog.=) p.id OFFSET 0)
   OR EXISTS (SELECT FROM guestly.withdrawn w WHERE w.booking_id OPERATOR (pg_catalog.=) p.id OFFSET 0)
