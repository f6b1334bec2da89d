-- Queued bookings with an arrival from $1 to $2.
SELECT q.booking_id FROM guestly.queue q WHERE q.arrival BETWEEN $1::date AND $2::date ORDER BY q.arrival LIMIT 200
