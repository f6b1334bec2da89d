-- Deletes a batch of the oldest closed alerts, raised before $1 (seconds since the epoch). Alerts of the last two days are kept to
-- suppress repeated ones.
DELETE FROM guestly.alerts a
WHERE a.id = ANY (ARRAY (SELECT o.id FROM guestly.alerts o
                         WHERE o.state <> 'waiting' AND o.raised_at < least(pg_catalog.to_timestamp($1), clock_timestamp() - interval '2 days')
                         ORDER BY o.id LIMIT 1000))
RETURNING 1
