-- The queue where no table is attached: is a row ready, the next due time, and since when the oldest waits.
SELECT EXISTS (SELECT FROM guestly.queue q WHERE q.state = 'ready') OR EXISTS (SELECT FROM guestly.changes) AS ready,
       (SELECT extract(epoch FROM min(q.due_at))::float8 FROM guestly.queue q WHERE q.state IN ('waiting', 'unknown')) AS next_due,
       (SELECT extract(epoch FROM min(q.queued_at))::float8 FROM guestly.queue q WHERE q.state <> 'failed') AS oldest
