-- Bookings that wait for guests who arrive until $1.
SELECT q.booking_id FROM guestly.queue q WHERE q.arrival <= $1::date ORDER BY q.arrival LIMIT 200
