-- Records the intent before a call is sent: $1 ids, $2 claim ids, $3 operations, $4 attempts, $5 confirmation codes. A restored row has an
-- unknown outcome from now on and belongs to this table. The ids are repeated so that the plan, which is cached while the queue grows,
-- looks them up by key.
UPDATE guestly.queue q
SET state = 'sending', claim_id = c.claim_id, operation = c.operation, attempts = c.attempts,
    confirmation_code = coalesce(q.confirmation_code, c.code), queued_in = q.tableoid,
    uncertain_since = CASE WHEN q.queued_in = q.tableoid THEN q.uncertain_since ELSE clock_timestamp() END
FROM unnest($1::text[], $2::bigint[], $3::text[], $4::integer[], $5::text[]) AS c (id, claim_id, operation, attempts, code)
WHERE q.booking_id = c.id AND q.booking_id = ANY ($1)
