-- Of these bookings ($1) and the reservation ids that Guestly returned for them ($2), those whose reservation belongs to another booking:
-- the booking and that other booking. LATERAL keeps the subquery a look-up by key: the plan is cached while the table grows.
SELECT c.id, r.booking_id
FROM unnest($1::text[], $2::text[]) AS c (id, reservation_id)
JOIN LATERAL (SELECT k.booking_id FROM guestly.reservations k
              WHERE k.reservation_id = c.reservation_id AND k.booking_id <> c.id ORDER BY k.recorded_at LIMIT 1) r ON true
