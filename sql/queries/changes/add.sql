-- Bookings ($1 ids) that say something else than Guestly holds, though nobody noted a change.
INSERT INTO guestly.changes (booking_id) SELECT d.id FROM unnest($1::text[]) AS d (id)
