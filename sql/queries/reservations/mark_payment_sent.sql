-- Before the payments of these bookings ($1) are recorded: from now on only Guestly's list tells whether they were.
UPDATE guestly.reservations SET payment = 'sent', changed_at = clock_timestamp() WHERE booking_id = ANY ($1)
