-- How many wait.
SELECT count(*) FROM guestly.queue q WHERE q.state <> 'failed'
