-- Token requests of the last 24 hours with these credentials ($1).
SELECT extract(epoch FROM requested_at)::float8 FROM guestly.token_requests
WHERE requested_at > pg_catalog.clock_timestamp() - interval '24 hours' AND credentials_fingerprint = $1
