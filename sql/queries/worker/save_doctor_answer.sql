-- Saves the result of trying the credentials ($1 ok, warn or fail; $2 a sentence). Must also work with an earlier version's
-- table, which has no key.
WITH kept AS (UPDATE guestly.worker SET online_status = $1, online_answer = $2, online_at = pg_catalog.clock_timestamp() RETURNING 1)
INSERT INTO guestly.worker (online_status, online_answer, online_at)
SELECT $1, $2, pg_catalog.clock_timestamp() WHERE NOT EXISTS (SELECT FROM kept)
