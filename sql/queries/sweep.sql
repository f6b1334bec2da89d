-- Paid bookings that no trigger queued ($1 ids, $2 days of arrival). Guestly may hold them already (a restored dump), so it
-- is asked first.
INSERT INTO guestly.queue (booking_id, arrival, look_up_first)
SELECT c.id, c.arrival::date, true
FROM unnest($1::text[], $2::text[]) AS c (id, arrival)
ON CONFLICT (booking_id) DO NOTHING
