-- Saves the queued bookings before DROP EXTENSION.
SELECT guestly.prepare_drop()
