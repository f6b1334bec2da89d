-- Precedes enqueue_paid.sql: several bookings ($1 ids, $2 arrival dates or null).
WITH paid (id, arrival) AS (
    SELECT p.id, p.arrival::pg_catalog.date
    FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.text[]), pg_catalog.unnest($2::pg_catalog.text[])) AS p (id, arrival)
)
