-- Statuses of cancelled bookings, in lower case.
SELECT lower(m.booking_status) FROM guestly.status_map m WHERE m.guestly_status = 'canceled'
