-- Records paid bookings that were cancelled before they were sent ($1 ids).
INSERT INTO guestly.withdrawn (booking_id) SELECT id FROM unnest($1::text[]) AS w (id) ON CONFLICT (booking_id) DO NOTHING
