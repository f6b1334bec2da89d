-- Deferrable constraints of the attached table ($1) and its partitions, as a list for SET CONSTRAINTS; null if there are none. A name
-- that another table of the schema also uses is left out, because SET CONSTRAINTS would fire that table's triggers, too.
WITH tree AS (
    SELECT $1::pg_catalog.oid AS relid UNION SELECT t.relid FROM pg_catalog.pg_partition_tree($1::pg_catalog.oid) t
)
SELECT pg_catalog.string_agg(DISTINCT pg_catalog.format('%I.%I', s.nspname, k.conname), ', ')
FROM tree p
JOIN pg_catalog.pg_constraint k ON k.conrelid = p.relid JOIN pg_catalog.pg_namespace s ON s.oid = k.connamespace
WHERE k.condeferrable
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint o WHERE o.connamespace = k.connamespace AND o.conname = k.conname
                  AND o.conrelid NOT IN (SELECT t.relid FROM tree t))
