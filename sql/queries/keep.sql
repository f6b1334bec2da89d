-- What Guestly is now known to hold. Written whether or not the claim is still ours: a reservation id is never lost.
INSERT INTO guestly.reservations AS r
       (booking_id, reservation_id, confirmation_code, status, listing_id, check_in, check_out, adults, children, infants, pets, adopted)
SELECT c.id, c.reservation_id, c.code, c.status, c.listing_id, c.check_in::date, c.check_out::date, c.adults, c.children,
       c.infants, c.pets, c.adopted
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::integer[],
                       $9::integer[], $10::integer[], $11::integer[], $12::boolean[])
     AS c (id, reservation_id, code, status, listing_id, check_in, check_out, adults, children, infants, pets, adopted)
ON CONFLICT (booking_id) DO UPDATE
SET reservation_id = excluded.reservation_id, confirmation_code = excluded.confirmation_code, status = excluded.status,
    listing_id = excluded.listing_id, check_in = excluded.check_in, check_out = excluded.check_out,
    adults = excluded.adults, children = excluded.children, infants = excluded.infants, pets = excluded.pets,
    adopted = excluded.adopted, recorded_at = excluded.recorded_at
