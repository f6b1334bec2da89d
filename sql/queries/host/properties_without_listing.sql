-- Active properties ($1 slugs, $2 keys) without a listing.
SELECT p.slug FROM unnest($1::text[], $2::text[]) AS p (slug, key)
WHERE p.slug IS NOT NULL AND NOT EXISTS (SELECT FROM guestly.listings l WHERE l.property IN (p.slug, p.key)) ORDER BY p.slug
