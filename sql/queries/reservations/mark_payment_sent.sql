-- Before the payments of these bookings ($1) are sent: from now on only Guestly's list of payments shows whether they were recorded.
UPDATE guestly.reservations SET payment = 'sent', changed_at = clock_timestamp() WHERE booking_id = ANY ($1)
