-- Alerts mailed within a day: the latest one of each kind, booking and cause, and those of the last minute.
SELECT DISTINCT ON (a.kind, a.booking_id, a.cause, a.closed_at > clock_timestamp() - interval '1 minute')
       a.kind, a.booking_id, a.cause, extract(epoch FROM a.closed_at)::float8 AS closed_at
FROM guestly.alerts a
WHERE a.state = 'sent' AND a.closed_at > clock_timestamp() - interval '1 day'
ORDER BY a.kind, a.booking_id, a.cause, a.closed_at > clock_timestamp() - interval '1 minute', a.closed_at DESC
