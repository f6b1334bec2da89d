-- The intent, before a byte leaves: $1 ids, $2 claims, $3 operations, $4 tries.
UPDATE guestly.queue q
SET state = 'sending', claim = c.claim, operation = c.operation, attempts = c.attempts
FROM unnest($1::text[], $2::bigint[], $3::text[], $4::integer[]) AS c (id, claim, operation, attempts)
WHERE q.booking_id = c.id
