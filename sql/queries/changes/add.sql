-- Bookings ($1 ids) that differ from their reservations although no change was noted.
INSERT INTO guestly.changes (booking_id) SELECT d.id FROM unnest($1::text[]) AS d (id)
