-- All listings (a host has few) and statuses: table (1 listings, 2 statuses), from, to.
SELECT 1, l.property, l.listing_id FROM guestly.listings l
UNION ALL SELECT 2, s.booking_status, s.guestly_status FROM guestly.status_map s
