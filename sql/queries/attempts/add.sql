-- Logs one row per call.
INSERT INTO guestly.attempts
       (booking_id, attempt, operation, started_at, duration_ms, http_status, outcome, error_class, error, request_id)
SELECT c.id, c.attempt, c.operation, pg_catalog.to_timestamp(c.started), c.duration, c.status, c.outcome, c.error_class,
       c.error, c.request_id
FROM unnest($1::text[], $2::integer[], $3::text[], $4::float8[], $5::integer[], $6::integer[], $7::text[],
                       $8::text[], $9::text[], $10::text[])
     AS c (id, attempt, operation, started, duration, status, outcome, error_class, error, request_id)
