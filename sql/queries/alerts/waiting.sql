-- Alerts to be mailed, oldest first.
SELECT a.id, a.kind, a.booking_id, a.cause, extract(epoch FROM a.raised_at)::float8 AS raised_at, a.arrival::text, a.mail_key, a.sentence,
       extract(epoch FROM a.since)::float8 AS since, a.waiting, a.reference
FROM guestly.alerts a WHERE a.state = 'waiting' ORDER BY a.id LIMIT 2000
