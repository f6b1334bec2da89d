-- The attached table, if it exists, and who owned it when it was last looked at.
SELECT guestly.attached()::pg_catalog.oid, (SELECT a.owner::text FROM guestly.attachment a)
