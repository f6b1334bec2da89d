-- The constraints of the attached table ($1), those of its partitions too, whose triggers may wait for the commit; as SET CONSTRAINTS
-- takes them, null without any.
SELECT pg_catalog.string_agg(DISTINCT pg_catalog.format('%I.%I', s.nspname, k.conname), ', ')
FROM (SELECT $1::pg_catalog.oid AS relid UNION SELECT t.relid FROM pg_catalog.pg_partition_tree($1::pg_catalog.oid) t) p
JOIN pg_catalog.pg_constraint k ON k.conrelid = p.relid JOIN pg_catalog.pg_namespace s ON s.oid = k.connamespace
WHERE k.condeferrable
