-- Of these claims ($1 ids, $2 claims) the ones that are still in force: somebody holds their rows.
SELECT q.booking_id FROM guestly.queue q JOIN unnest($1::text[], $2::bigint[]) AS c (id, claim) ON q.booking_id = c.id
WHERE q.claim IS NOT DISTINCT FROM c.claim
