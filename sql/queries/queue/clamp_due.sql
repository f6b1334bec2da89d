-- After the clock was set back while no worker ran: no row waits longer than the longest pause ($2 its end), and no outcome has been
-- unknown since a time after now ($1).
UPDATE guestly.queue q
SET due_at = least(q.due_at, pg_catalog.to_timestamp($2)), uncertain_since = least(q.uncertain_since, pg_catalog.to_timestamp($1))
WHERE q.state IN ('waiting', 'unknown') AND (q.due_at > pg_catalog.to_timestamp($2) OR q.uncertain_since > pg_catalog.to_timestamp($1))
