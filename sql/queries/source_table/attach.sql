-- Attaches a table ($1) whose owner has called guestly_attach().
SELECT guestly.attach($1::pg_catalog.regclass)
