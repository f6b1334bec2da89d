-- Start of the outage that was announced but whose end was not.
SELECT extract(epoch FROM a.since)::float8 FROM guestly.alerts a
WHERE a.kind = 'outage' AND NOT EXISTS (SELECT FROM guestly.alerts r WHERE r.kind = 'recovered' AND r.raised_at > a.raised_at)
ORDER BY a.raised_at DESC LIMIT 1
