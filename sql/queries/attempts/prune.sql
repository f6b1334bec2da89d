-- The oldest attempts beyond the retention ($1 seconds since the epoch), a small step at a time.
DELETE FROM guestly.attempts a
WHERE a.ctid = ANY (ARRAY (SELECT o.ctid FROM guestly.attempts o WHERE o.started_at < pg_catalog.to_timestamp($1)
                           ORDER BY o.started_at LIMIT 1000))
RETURNING 1
