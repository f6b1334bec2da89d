-- The attached table, if it exists, and its last known owner.
SELECT guestly.attached()::pg_catalog.oid, (SELECT a.owner::text FROM guestly.attachment a)
