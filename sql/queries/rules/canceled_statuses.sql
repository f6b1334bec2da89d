-- Statuses of bookings that nobody comes for.
SELECT lower(m.booking_status) FROM guestly.status_map m WHERE m.guestly_status = 'canceled'
