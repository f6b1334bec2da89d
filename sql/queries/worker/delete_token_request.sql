-- Deletes a token request that was certainly not sent.
DELETE FROM guestly.token_requests WHERE requested_at = pg_catalog.to_timestamp($1)
