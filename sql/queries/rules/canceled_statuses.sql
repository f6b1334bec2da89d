-- Booking statuses that are mapped to canceled.
SELECT lower(m.booking_status) FROM guestly.status_map m WHERE m.guestly_status = 'canceled'
