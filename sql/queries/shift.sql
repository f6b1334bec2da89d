-- The clock jumped by $1 seconds: whatever waits goes on waiting as long as it should.
UPDATE guestly.queue q
SET due_at = q.due_at + pg_catalog.make_interval(secs => $1), doubt_since = q.doubt_since + pg_catalog.make_interval(secs => $1)
WHERE q.state IN ('waiting', 'unknown')
