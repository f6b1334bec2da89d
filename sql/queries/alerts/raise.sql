-- Adds alerts ($1 kinds, $2 bookings, $3 arrival dates, $4 causes, $5 sentences, $6 since, $7 bookings waiting, $8 references). Returns
-- the new ones, with the booking if its reference is not known. An alert is skipped if the latest alert about the same thing, within a
-- day, has the same cause; but never the start or end of an outage, nor a credentials alert after a success.
INSERT INTO guestly.alerts AS a (kind, booking_id, arrival, cause, sentence, since, waiting, reference)
SELECT c.kind, c.booking_id, coalesce(c.arrival::date, (SELECT q.arrival FROM guestly.queue q WHERE q.booking_id = c.booking_id)),
       c.cause, c.sentence, pg_catalog.to_timestamp(c.since), c.waiting, c.reference
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::float8[], $7::bigint[], $8::text[])
     AS c (kind, booking_id, arrival, cause, sentence, since, waiting, reference)
WHERE c.kind IN ('outage', 'recovered')
   OR c.cause IS DISTINCT FROM (SELECT l.cause FROM guestly.alerts l
                                WHERE l.kind = c.kind AND coalesce(l.booking_id, '') = coalesce(c.booking_id, '')
                                  AND l.raised_at > clock_timestamp() - interval '1 day'
                                  AND (c.kind NOT IN ('credentials', 'token_cap')
                                       OR NOT EXISTS (SELECT FROM guestly.worker w WHERE w.last_success_at > l.raised_at))
                                ORDER BY l.raised_at DESC LIMIT 1)
RETURNING a.id, CASE WHEN a.reference IS NULL THEN a.booking_id END
