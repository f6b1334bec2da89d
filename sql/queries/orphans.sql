-- How many calls were in flight when the worker ended.
SELECT count(*) FROM guestly.queue q WHERE q.claim IS NOT NULL
