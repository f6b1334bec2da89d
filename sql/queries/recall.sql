-- What the last worker remembered.
SELECT quota, extract(epoch FROM pg_catalog.clock_timestamp() - quota_at)::float8, credentials_error,
       extract(epoch FROM credentials_error_at)::float8, credentials_mark
FROM guestly.worker
