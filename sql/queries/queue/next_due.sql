-- The next due time of a waiting row, in seconds since the epoch.
SELECT extract(epoch FROM min(q.due_at))::float8 FROM guestly.queue q WHERE q.state IN ('waiting', 'unknown')
