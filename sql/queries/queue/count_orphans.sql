-- The number of claims that the last worker left: each of their calls may have been made.
SELECT count(*) FROM guestly.queue q WHERE q.claim_id IS NOT NULL
