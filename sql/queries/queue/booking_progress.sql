-- How some bookings ($1 ids) stand: tries, since when, what is wrong, and whether Guestly holds or may hold them.
SELECT i.id, q.attempts, extract(epoch FROM q.queued_at)::float8, q.error_class, q.error,
       EXISTS (SELECT FROM guestly.reservations r WHERE r.booking_id = i.id AND r.reservation_id NOT LIKE 'test-%'),
       coalesce(q.state IN ('unknown', 'sending') OR q.doubt_since IS NOT NULL OR q.look_up_first OR q.claim IS NOT NULL, false)
FROM unnest($1::text[]) AS i (id) LEFT JOIN guestly.queue q ON q.booking_id = i.id
