-- What the last worker remembered.
SELECT quota, extract(epoch FROM pg_catalog.clock_timestamp() - quota_at)::float8, credentials_error,
       extract(epoch FROM credentials_error_at)::float8, credentials_mark,
       extract(epoch FROM held_until - pg_catalog.clock_timestamp())::float8,
       extract(epoch FROM credentials_until)::float8, credentials_class
FROM guestly.worker
