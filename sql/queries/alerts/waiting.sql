-- Alerts that wait, oldest first.
SELECT a.id, a.kind, a.booking_id, a.cause, extract(epoch FROM a.raised_at)::float8, a.arrival::text, a.mail_key, a.sentence,
       extract(epoch FROM a.since)::float8, a.waiting, a.reference
FROM guestly.alerts a WHERE a.state = 'waiting' ORDER BY a.id LIMIT 2000
