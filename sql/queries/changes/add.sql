-- Marks bookings ($1 ids) as changed: they differ from Guestly although no trigger recorded a change.
INSERT INTO guestly.changes (booking_id) SELECT d.id FROM unnest($1::text[]) AS d (id)
