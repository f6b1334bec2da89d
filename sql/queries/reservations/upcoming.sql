-- Reservations of upcoming stays, $3 at a time: those after departure date $1 and booking $2. Queued and changed bookings are left out,
-- because they are compared anyway. The columns have the same names as in queue/claim_due.sql.
SELECT r.booking_id, r.reservation_id, r.confirmation_code, r.status, r.listing_id, r.check_in::text, r.check_out::text, r.adults, r.children,
       r.infants, r.pets, r.verified, r.ended, extract(epoch FROM r.changed_at)::float8 AS changed_at, r.notes, r.payment
FROM guestly.reservations r
WHERE (r.check_out, r.booking_id) > ($1::date, $2) AND r.verified AND r.reservation_id NOT LIKE 'test-%'
  AND NOT EXISTS (SELECT FROM guestly.known_bookings k WHERE k.booking_id = r.booking_id AND k.reason = 'queued' OFFSET 0)
  AND NOT EXISTS (SELECT FROM guestly.changes c WHERE c.booking_id = r.booking_id)
ORDER BY r.check_out, r.booking_id LIMIT $3
