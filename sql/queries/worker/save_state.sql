-- Saves the state that the worker needs after a restart and that guestly.status shows.
INSERT INTO guestly.worker AS w (breaker, breaker_since, paused_until, rate_levels, rate_levels_at, last_success_at, last_error, last_error_at,
    credentials_error, credentials_error_at, credentials_fingerprint, credentials_until, credentials_class, clock_skew_ms)
VALUES ($1, pg_catalog.clock_timestamp(), pg_catalog.to_timestamp($2), $3, pg_catalog.clock_timestamp(), pg_catalog.to_timestamp($4),
    $5, CASE WHEN $5 IS NOT NULL THEN pg_catalog.clock_timestamp() END,
    $6, pg_catalog.to_timestamp($7), $8, pg_catalog.to_timestamp($10), $11, $9)
ON CONFLICT (id) DO UPDATE
SET breaker = excluded.breaker,
    breaker_since = CASE WHEN w.breaker = excluded.breaker THEN w.breaker_since ELSE excluded.breaker_since END,
    paused_until = excluded.paused_until, rate_levels = excluded.rate_levels, rate_levels_at = excluded.rate_levels_at,
    last_success_at = coalesce(excluded.last_success_at, w.last_success_at),
    last_error = coalesce(excluded.last_error, w.last_error),
    last_error_at = coalesce(excluded.last_error_at, w.last_error_at),
    credentials_error = excluded.credentials_error, credentials_error_at = excluded.credentials_error_at,
    credentials_fingerprint = excluded.credentials_fingerprint, credentials_until = excluded.credentials_until,
    credentials_class = excluded.credentials_class,
    clock_skew_ms = coalesce(excluded.clock_skew_ms, w.clock_skew_ms)
