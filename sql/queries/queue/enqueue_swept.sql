-- Paid bookings that no trigger queued ($1 ids, $2 days of arrival); a call of theirs may be taking effect since $3.
SELECT guestly.enqueue_missed($1, $2::date[], pg_catalog.to_timestamp($3))
