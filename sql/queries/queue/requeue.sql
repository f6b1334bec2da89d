-- Requeues bookings ($1 ids, $2 arrival dates).
SELECT q.id FROM unnest(guestly.requeue($1, $2::date[], false)) AS q (id)
