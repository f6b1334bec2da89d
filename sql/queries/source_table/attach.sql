-- Attaches the table ($1) whose owner called guestly_attach().
SELECT guestly.attach($1::pg_catalog.regclass)
