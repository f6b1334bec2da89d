-- Deletes a batch of the oldest attempts, started before $1 (seconds since the epoch).
DELETE FROM guestly.attempts a
WHERE a.ctid = ANY (ARRAY (SELECT o.ctid FROM guestly.attempts o WHERE o.started_at < pg_catalog.to_timestamp($1)
                           ORDER BY o.started_at LIMIT 1000))
RETURNING 1
