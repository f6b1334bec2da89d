-- Before these payments ($1 bookings) are recorded: from now on only Guestly's list tells whether they were.
UPDATE guestly.reservations SET payment = 'sent', changed_at = clock_timestamp() WHERE booking_id = ANY ($1)
