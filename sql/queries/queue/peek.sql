-- The sweep if no table is attached: whether a row is ready, when the next row is due, and when the oldest was queued.
SELECT EXISTS (SELECT FROM guestly.queue q WHERE q.state = 'ready') OR EXISTS (SELECT FROM guestly.changes) AS ready,
       (SELECT extract(epoch FROM min(q.due_at))::float8 FROM guestly.queue q WHERE q.state IN ('waiting', 'unknown')) AS next_due,
       (SELECT extract(epoch FROM min(q.queued_at))::float8 FROM guestly.queue q WHERE q.state <> 'failed') AS oldest
