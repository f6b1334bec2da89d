-- What came of trying the credentials ($1 ok, warn or fail, $2 in words).
INSERT INTO guestly.worker (online_status, online_answer, online_at) VALUES ($1, $2, pg_catalog.clock_timestamp())
ON CONFLICT (id) DO UPDATE
SET online_status = excluded.online_status, online_answer = excluded.online_answer, online_at = excluded.online_at
