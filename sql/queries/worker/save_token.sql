-- Saves the token; there is only one.
INSERT INTO guestly.token (access_token, fetched_at, expires_at, credentials_fingerprint)
VALUES ($1, pg_catalog.to_timestamp($2), pg_catalog.to_timestamp($3), $4)
ON CONFLICT ((true)) DO UPDATE
SET access_token = excluded.access_token, fetched_at = excluded.fetched_at, expires_at = excluded.expires_at, credentials_fingerprint = excluded.credentials_fingerprint
