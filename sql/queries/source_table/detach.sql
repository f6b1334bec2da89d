-- Detaches the table ($1) whose owner called guestly_detach(); null if it was dropped.
SELECT guestly.detach($1::pg_catalog.regclass)
