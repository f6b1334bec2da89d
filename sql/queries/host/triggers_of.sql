-- Those of these triggers ($2) that a table ($1) has.
SELECT t.tgname::text FROM pg_catalog.pg_trigger t WHERE t.tgrelid = $1 AND t.tgname = ANY ($2)
