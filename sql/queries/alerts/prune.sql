-- Deletes the oldest closed alerts from before $1 (seconds since the epoch), a small step at a time. Those of the last two days are kept:
-- they decide what is not mailed again.
DELETE FROM guestly.alerts a
WHERE a.id = ANY (ARRAY (SELECT o.id FROM guestly.alerts o
                         WHERE o.state <> 'waiting' AND o.raised_at < least(pg_catalog.to_timestamp($1), clock_timestamp() - interval '2 days')
                         ORDER BY o.id LIMIT 1000))
RETURNING 1
