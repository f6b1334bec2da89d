-- Of these claims ($1 ids, $2 claims) those that are in force and whose bookings were not changed since: changes/drain.sql leaves
-- claimed rows alone. The table of changes is emptied within moments, and has no index.
SELECT q.booking_id FROM guestly.queue q JOIN unnest($1::text[], $2::bigint[]) AS c (id, claim_id) ON q.booking_id = c.id
WHERE q.booking_id = ANY ($1) AND q.claim_id = c.claim_id AND q.state = 'sending'
  AND NOT EXISTS (SELECT FROM guestly.changes n WHERE n.booking_id = q.booking_id)
