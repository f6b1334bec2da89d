-- What the last worker remembered.
SELECT rate_levels, extract(epoch FROM pg_catalog.clock_timestamp() - rate_levels_at)::float8, credentials_error,
       extract(epoch FROM credentials_error_at)::float8, credentials_fingerprint,
       extract(epoch FROM paused_until - pg_catalog.clock_timestamp())::float8,
       extract(epoch FROM credentials_until)::float8, credentials_class
FROM guestly.worker
