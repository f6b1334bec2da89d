-- Every listing: a host has few.
SELECT property, listing_id FROM guestly.listings
