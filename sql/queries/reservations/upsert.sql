-- Stores the state of reservations in Guestly; null leaves a value unchanged. Written even if the claim is no longer in force, so that no
-- reservation id is lost. $15: the reservation was changed or may have been.
INSERT INTO guestly.reservations AS r
       (booking_id, reservation_id, confirmation_code, status, listing_id, check_in, check_out, adults, children, infants, pets,
        adopted, verified, ended, changed_at, notes, payment, total, paid)
SELECT c.id, c.reservation_id, c.code, c.status, c.listing_id, c.check_in::date, c.check_out::date, c.adults, c.children,
       c.infants, c.pets, c.adopted, c.verified, c.ended, CASE WHEN c.changed THEN clock_timestamp() END, c.notes, c.payment,
       c.total::numeric, CASE WHEN c.total IS NOT NULL THEN c.paid::numeric END
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::integer[],
                       $9::integer[], $10::integer[], $11::integer[], $12::boolean[], $13::boolean[], $14::boolean[], $15::boolean[], $16::text[],
                       $17::text[], $18::text[], $19::float8[])
     AS c (id, reservation_id, code, status, listing_id, check_in, check_out, adults, children, infants, pets, adopted, verified,
           ended, changed, notes, payment, total, paid)
ON CONFLICT (booking_id) DO UPDATE
SET reservation_id = excluded.reservation_id, confirmation_code = excluded.confirmation_code,
    status = coalesce(excluded.status, r.status), listing_id = coalesce(excluded.listing_id, r.listing_id),
    check_in = coalesce(excluded.check_in, r.check_in), check_out = coalesce(excluded.check_out, r.check_out),
    adults = coalesce(excluded.adults, r.adults), children = coalesce(excluded.children, r.children),
    notes = coalesce(excluded.notes, r.notes), infants = coalesce(excluded.infants, r.infants), pets = coalesce(excluded.pets, r.pets),
    payment = coalesce(excluded.payment, CASE WHEN r.reservation_id = excluded.reservation_id THEN r.payment END),
    total = coalesce(excluded.total, CASE WHEN r.reservation_id = excluded.reservation_id THEN r.total END),
    paid = CASE WHEN excluded.total IS NOT NULL THEN excluded.paid WHEN r.reservation_id = excluded.reservation_id THEN r.paid END,
    adopted = excluded.adopted OR r.adopted AND r.reservation_id = excluded.reservation_id,
    verified = excluded.verified OR r.verified AND r.reservation_id = excluded.reservation_id,
    ended = coalesce(excluded.ended, r.ended AND r.reservation_id = excluded.reservation_id),
    changed_at = coalesce(excluded.changed_at, r.changed_at),
    recorded_at = CASE WHEN r.reservation_id = excluded.reservation_id THEN r.recorded_at ELSE excluded.recorded_at END
