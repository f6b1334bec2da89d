-- Precedes enqueue_paid.sql: one booking ($1 id, $2 arrival date or null). Most sales are for one booking, and without arrays the statement
-- takes an eighth less time.
WITH paid (id, arrival) AS (SELECT $1::pg_catalog.text, $2::pg_catalog.date)
