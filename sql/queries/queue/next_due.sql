-- When something is due again, and when a claim without its call would be found: seconds since the epoch.
SELECT extract(epoch FROM min(q.due_at))::float8 FROM guestly.queue q WHERE q.state IN ('waiting', 'unknown')
