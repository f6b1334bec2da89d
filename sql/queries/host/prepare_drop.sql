-- Stores the bookings that wait, before DROP EXTENSION.
SELECT guestly.prepare_drop()
