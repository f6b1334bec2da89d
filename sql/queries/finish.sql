-- Bookings that are done with leave the queue: $1 ids, $2 claims.
DELETE FROM guestly.queue q
USING unnest($1::text[], $2::bigint[]) AS c (id, claim)
WHERE q.booking_id = c.id AND q.claim IS NOT DISTINCT FROM c.claim
RETURNING q.booking_id
