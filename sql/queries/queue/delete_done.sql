-- Deletes completed bookings from the queue ($1 ids, $2 claim ids). Locked rows are skipped: waiting would delay other outcomes. The ids
-- are repeated so that the plan, which is cached while the queue grows, looks them up by key.
WITH mine AS (
    SELECT q.booking_id FROM guestly.queue q JOIN unnest($1::text[], $2::bigint[]) AS c (id, claim_id) ON q.booking_id = c.id
    WHERE q.booking_id = ANY ($1) AND q.claim_id IS NOT DISTINCT FROM c.claim_id FOR UPDATE OF q SKIP LOCKED
)
DELETE FROM guestly.queue q USING mine WHERE q.booking_id = mine.booking_id AND q.booking_id = ANY ($1)
RETURNING q.booking_id
