-- Loads the token if it was requested with these credentials ($1).
SELECT access_token, extract(epoch FROM fetched_at)::float8 AS fetched_at, extract(epoch FROM expires_at)::float8 AS expires_at
FROM guestly.token WHERE credentials_fingerprint = $1
