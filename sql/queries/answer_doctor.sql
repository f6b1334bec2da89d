-- What came of trying the credentials ($1 ok, warn or fail, $2 in words).
UPDATE guestly.worker SET online_status = $1, online_answer = $2, online_at = pg_catalog.clock_timestamp()
