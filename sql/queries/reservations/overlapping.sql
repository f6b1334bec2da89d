-- Known reservations that overlap these bookings ($1 ids, $2 and $3 the properties' slugs and ids, $4 arrivals, $5 departures).
SELECT c.id, string_agg(pg_catalog.format('reservation %s, code %s, %s to %s', r.reservation_id, r.confirmation_code,
                               pg_catalog.to_char(r.check_in, 'FMDD Mon YYYY'), pg_catalog.to_char(r.check_out, 'FMDD Mon YYYY')),
                        '; ' ORDER BY r.check_in)
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[]) AS c (id, property, property_id, check_in, check_out)
JOIN guestly.listings l ON l.property IN (c.property, c.property_id)
JOIN guestly.reservations r ON r.listing_id = l.listing_id AND r.booking_id <> c.id AND r.check_in < c.check_out::date
     AND r.check_out > c.check_in::date AND r.status IS DISTINCT FROM 'canceled' AND r.reservation_id NOT LIKE 'test-%'
GROUP BY c.id
