-- Paid bookings that no trigger queued ($1 ids, $2 days of arrival). Guestly may hold them already (a restored dump), so it
-- is asked first; until settle has passed where a call may be taking effect since $3.
INSERT INTO guestly.queue (booking_id, arrival, look_up_first, doubt_since)
SELECT c.id, c.arrival::date, true, pg_catalog.to_timestamp($3)
FROM unnest($1::text[], $2::text[]) AS c (id, arrival)
ON CONFLICT (booking_id) DO NOTHING
