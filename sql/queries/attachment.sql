-- The attached table with its owner, which is null when the table is gone. Fields and expressions of the mapping stand beside each other in
-- the same order, whatever it is.
SELECT a.bookings, a.key_column, a.key_type, a.payment_column, a.arrival_column, c.relowner, pg_catalog.quote_ident(n.nspname),
       m.fields, m.expressions
FROM guestly.attachment a
CROSS JOIN (SELECT pg_catalog.array_agg(m.field) AS fields, pg_catalog.array_agg(m.expression) AS expressions FROM guestly.field_map m) m
LEFT JOIN pg_catalog.pg_class c ON c.oid = pg_catalog.to_regclass(a.bookings)
LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
