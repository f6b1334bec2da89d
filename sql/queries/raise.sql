-- Alerts ($1 kinds, $2 bookings, $3 days of arrival, $4 causes, $5 sentences, $6 since, $7 how many wait, $8 classes,
-- $9 references), each with a notification for programs. What the latest alert about the same thing said within a day is not
-- said again; the beginning and the end of an outage always are.
WITH raised AS (
    INSERT INTO guestly.alerts (kind, booking_id, arrival, cause, sentence, since, waiting)
    SELECT c.kind, c.booking_id, coalesce(c.arrival::date, (SELECT q.arrival FROM guestly.queue q WHERE q.booking_id = c.booking_id)),
           c.cause, c.sentence, pg_catalog.to_timestamp(c.since), c.waiting
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::float8[], $7::bigint[])
         AS c (kind, booking_id, arrival, cause, sentence, since, waiting)
    WHERE c.kind IN ('outage', 'recovered')
       OR c.cause IS DISTINCT FROM (SELECT a.cause FROM guestly.alerts a
                                    WHERE a.kind = c.kind AND coalesce(a.booking_id, '') = coalesce(c.booking_id, '')
                                      AND a.raised_at > clock_timestamp() - interval '1 day'
                                    ORDER BY a.raised_at DESC LIMIT 1)
    RETURNING kind, booking_id, cause
)
SELECT count(pg_notify('guestly_sync', pg_catalog.json_build_object(
           'kind', r.kind, 'class', c.class, 'booking_id', r.booking_id, 'reference', c.reference)::text))
FROM raised r
JOIN unnest($1::text[], $2::text[], $4::text[], $8::text[], $9::text[]) AS c (kind, booking_id, cause, class, reference)
  ON c.kind = r.kind AND coalesce(c.booking_id, '') = coalesce(r.booking_id, '') AND c.cause = r.cause
