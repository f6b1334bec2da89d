-- What the worker would want to know after a restart, and guestly.status shows.
UPDATE guestly.worker
SET breaker = $1,
    breaker_since = CASE WHEN breaker = $1 THEN breaker_since ELSE pg_catalog.clock_timestamp() END,
    held_until = pg_catalog.to_timestamp($2), quota = $3, quota_at = pg_catalog.clock_timestamp(),
    last_success_at = coalesce(pg_catalog.to_timestamp($4), last_success_at),
    last_error = coalesce($5, last_error),
    last_error_at = CASE WHEN $5 IS NULL THEN last_error_at ELSE pg_catalog.clock_timestamp() END,
    credentials_error = $6, credentials_error_at = pg_catalog.to_timestamp($7), credentials_mark = $8,
    credentials_until = pg_catalog.to_timestamp($10), credentials_class = $11,
    clock_skew_ms = coalesce($9, clock_skew_ms)
