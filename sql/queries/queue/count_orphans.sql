-- Number of claims left by the previous worker. Each of their calls may have been made.
SELECT count(*) FROM guestly.queue q WHERE q.claim_id IS NOT NULL
