-- Loads the state that the last worker saved.
SELECT rate_levels, extract(epoch FROM pg_catalog.clock_timestamp() - rate_levels_at)::float8 AS rate_levels_age,
       extract(epoch FROM paused_until - pg_catalog.clock_timestamp())::float8 AS pause_left,
       credentials_error, credentials_class, credentials_fingerprint, extract(epoch FROM credentials_error_at)::float8 AS credentials_error_at,
       extract(epoch FROM credentials_until)::float8 AS credentials_until
FROM guestly.worker
