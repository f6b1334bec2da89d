-- The probe where no table is attached: is anything ready, when is something due again, and since when does the oldest wait.
SELECT EXISTS (SELECT FROM guestly.queue q WHERE q.state = 'ready') OR EXISTS (SELECT FROM guestly.changes) AS ready,
       (SELECT extract(epoch FROM min(q.due_at))::float8 FROM guestly.queue q WHERE q.state IN ('waiting', 'unknown')) AS next_due,
       (SELECT extract(epoch FROM min(q.queued_at))::float8 FROM guestly.queue q WHERE q.state <> 'failed') AS oldest
