-- Queues paid bookings that no trigger queued ($1 ids, $2 arrival dates). A call for them may be taking effect since $3.
SELECT guestly.enqueue_missed($1, $2::date[], pg_catalog.to_timestamp($3))
