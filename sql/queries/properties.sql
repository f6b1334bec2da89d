-- The table that a column of the bookings ($1) references and its key, where it has a slug and says which rows are active; of
-- built-in types only.
SELECT k.confrelid, r.attname::text
FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_attribute r ON r.attrelid = k.confrelid AND r.attnum = k.confkey[1]
WHERE k.conrelid = $1 AND k.contype = 'f' AND r.atttypid < 16384
  AND EXISTS (SELECT FROM pg_catalog.pg_attribute s WHERE s.attrelid = k.confrelid AND s.attname = 'slug' AND s.atttypid < 16384)
  AND EXISTS (SELECT FROM pg_catalog.pg_attribute s WHERE s.attrelid = k.confrelid AND s.attname = 'is_active'
              AND s.atttypid = 'bool'::pg_catalog.regtype)
LIMIT 1
