-- Those of these claims ($1 ids, $2 claim ids) that are still in force and whose bookings have not changed since: changes/drain.sql skips
-- claimed bookings. guestly.changes is emptied almost at once and has no index.
SELECT q.booking_id FROM guestly.queue q JOIN unnest($1::text[], $2::bigint[]) AS c (id, claim_id) ON q.booking_id = c.id
WHERE q.booking_id = ANY ($1) AND q.claim_id = c.claim_id AND q.state = 'sending'
  AND NOT EXISTS (SELECT FROM guestly.changes n WHERE n.booking_id = q.booking_id)
