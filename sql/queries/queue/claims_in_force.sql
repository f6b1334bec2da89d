-- Those of these claims ($1 ids, $2 claim ids) that are still in force although their rows could not be written: the rows are locked.
-- The ids are repeated so that they are looked up by key.
SELECT q.booking_id FROM guestly.queue q JOIN unnest($1::text[], $2::bigint[]) AS c (id, claim_id) ON q.booking_id = c.id
WHERE q.booking_id = ANY ($1) AND q.claim_id IS NOT DISTINCT FROM c.claim_id
