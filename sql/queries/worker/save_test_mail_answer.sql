-- Saves the answer to a test mail. Must also work with an earlier version's table, which has no key.
WITH kept AS (UPDATE guestly.worker SET mail_answer = $1 RETURNING 1)
INSERT INTO guestly.worker (mail_answer) SELECT $1 WHERE NOT EXISTS (SELECT FROM kept)
