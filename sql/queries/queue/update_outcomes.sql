-- Writes outcomes that leave the booking in the queue. The claim id is the fencing token, even if the row's state was edited in the
-- meantime. A row that was deleted and queued again takes over the unknown outcome of the call. Locked rows are skipped. The ids are
-- repeated so that the plan, which is cached while the queue grows, looks them up by key.
WITH c AS (
    SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::integer[], $5::float8[], $6::float8[], $7::integer[],
                         $8::integer[], $9::text[], $10::boolean[], $11::text[], $12::text[], $13::boolean[], $14::integer[])
         AS c (id, claim_id, state, attempts, due, uncertain_since, look_ups, unconfirmed_creates, pending_refusal, verify_first, error_class, error, has_reservation, failed_reads)
), mine AS (
    SELECT q.booking_id FROM guestly.queue q JOIN c ON q.booking_id = c.id
    WHERE q.booking_id = ANY ($1)
      AND (q.claim_id IS NOT DISTINCT FROM c.claim_id
           OR q.claim_id IS NULL AND q.state IN ('ready', 'waiting') AND c.uncertain_since IS NOT NULL)
    FOR UPDATE OF q SKIP LOCKED
)
UPDATE guestly.queue q
SET state = c.state, attempts = c.attempts, due_at = coalesce(pg_catalog.to_timestamp(c.due), q.due_at),
    uncertain_since = pg_catalog.to_timestamp(c.uncertain_since), look_ups = c.look_ups, failed_reads = c.failed_reads, unconfirmed_creates = c.unconfirmed_creates, pending_refusal = c.pending_refusal,
    verify_first = c.verify_first, error_class = c.error_class, error = c.error, claim_id = NULL, operation = NULL,
    confirmation_code = CASE WHEN c.has_reservation THEN NULL ELSE q.confirmation_code END
FROM c JOIN mine ON mine.booking_id = c.id
WHERE q.booking_id = c.id AND q.booking_id = ANY ($1)
RETURNING q.booking_id
