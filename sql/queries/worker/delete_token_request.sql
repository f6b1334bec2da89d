-- A token request that certainly never left.
DELETE FROM guestly.token_requests WHERE requested_at = pg_catalog.to_timestamp($1)
