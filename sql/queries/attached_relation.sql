-- The attached table, if it exists.
SELECT guestly.attached()::pg_catalog.oid
