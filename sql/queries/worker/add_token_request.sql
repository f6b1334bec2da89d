-- Before a token request is sent: it counts towards the five per 24 hours, whatever its outcome.
WITH old AS (DELETE FROM guestly.token_requests WHERE requested_at < pg_catalog.to_timestamp($1) - interval '48 hours')
INSERT INTO guestly.token_requests (requested_at, credentials_fingerprint) VALUES (pg_catalog.to_timestamp($1), $2)
