-- Progress of bookings ($1 ids): attempts, time queued, error, and whether Guestly has or may have them.
SELECT i.id AS booking_id, q.attempts, extract(epoch FROM q.queued_at)::float8 AS queued_at, q.error_class, q.error,
       EXISTS (SELECT FROM guestly.known_bookings k WHERE k.booking_id = i.id AND k.reason = 'reservation') AS placed,
       coalesce(q.state IN ('unknown', 'sending') OR q.uncertain_since IS NOT NULL OR q.verify_first OR q.claim_id IS NOT NULL, false) AS uncertain
FROM unnest($1::text[]) AS i (id) LEFT JOIN guestly.queue q ON q.booking_id = i.id
