-- The table with a slug that a column of the bookings table ($1) references, its key, and whether it has a column is_active.
SELECT k.confrelid, r.attname::text,
       EXISTS (SELECT FROM pg_catalog.pg_attribute s WHERE s.attrelid = k.confrelid AND s.attname = 'is_active'
               AND s.atttypid = 'bool'::pg_catalog.regtype)
FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_attribute r ON r.attrelid = k.confrelid AND r.attnum = k.confkey[1]
WHERE k.conrelid = $1 AND k.contype = 'f' AND pg_catalog.cardinality(k.conkey) = 1
  AND EXISTS (SELECT FROM pg_catalog.pg_attribute s WHERE s.attrelid = k.confrelid AND s.attname = 'slug' AND NOT s.attisdropped)
LIMIT 1
