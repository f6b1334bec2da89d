-- Raises alerts ($1 kinds, $2 bookings, $3 days of arrival, $4 causes, $5 sentences, $6 since, $7 waiting bookings, $8 references);
-- returns those that are new, with the booking if its reference is unknown. An alert with the cause of the latest one about the same thing
-- within a day is dropped; not the beginning and end of an outage, nor credentials that worked in between.
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
