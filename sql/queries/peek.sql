-- The probe of an idle worker: is anything ready, and when is something due again.
SELECT EXISTS (SELECT FROM guestly.queue q WHERE q.state = 'ready'),
       (SELECT extract(epoch FROM min(q.due_at))::float8 FROM guestly.queue q WHERE q.state IN ('waiting', 'unknown'))
