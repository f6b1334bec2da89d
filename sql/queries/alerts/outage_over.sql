-- Returns a row when an outage since $1 is over and the queue is empty: the number of bookings that failed in it and are still failed.
SELECT (SELECT count(DISTINCT a.booking_id) FROM guestly.alerts a JOIN guestly.queue q USING (booking_id)
        WHERE a.kind IN ('booking_failed', 'dates_taken') AND a.raised_at > pg_catalog.to_timestamp($1) AND q.state = 'failed')
WHERE NOT EXISTS (SELECT FROM guestly.queue q WHERE q.state <> 'failed')
  AND EXISTS (SELECT FROM guestly.attempts t WHERE t.started_at > pg_catalog.to_timestamp($1) AND t.http_status < 500)
