-- Detaches the table ($1) whose owner has called guestly_detach(); null: it is gone.
SELECT guestly.detach($1::pg_catalog.regclass)
