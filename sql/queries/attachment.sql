-- The attached table with its owner and the constraints, those of its partitions too, whose triggers may wait for the commit; the
-- owner is null when the table is gone. Fields and expressions of the mapping stand beside each other in the same order, whatever it is.
SELECT a.bookings, a.key_column, a.key_type, a.payment_column, a.arrival_column, c.relowner, pg_catalog.quote_ident(n.nspname),
       (SELECT pg_catalog.string_agg(DISTINCT pg_catalog.format('%I.%I', s.nspname, k.conname), ', ')
        FROM (SELECT c.oid AS relid UNION SELECT t.relid FROM pg_catalog.pg_partition_tree(c.oid) t) p
        JOIN pg_catalog.pg_constraint k ON k.conrelid = p.relid JOIN pg_catalog.pg_namespace s ON s.oid = k.connamespace
        WHERE k.condeferrable),
       m.fields, m.expressions
FROM guestly.attachment a
CROSS JOIN (SELECT pg_catalog.array_agg(m.field) AS fields, pg_catalog.array_agg(m.expression) AS expressions FROM guestly.field_map m) m
LEFT JOIN pg_catalog.pg_class c ON c.oid = pg_catalog.to_regclass(a.bookings)
LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
