-- The attached table; `relation` is null if it was dropped or lacks the column that guestly_attach() added. Reads the catalogs, because
-- to_regclass requires USAGE on the schema. The arrays of fields and expressions of the mapping have the same order.
SELECT a.bookings, a.key_column, a.key_type, a.payment_column, a.arrival_column, c.oid AS relation, m.fields, m.expressions
FROM (SELECT t.*, pg_catalog.parse_ident(t.bookings) AS parts FROM guestly.attachment t) a
CROSS JOIN (SELECT pg_catalog.array_agg(m.field) AS fields, pg_catalog.array_agg(m.expression) AS expressions FROM guestly.field_map m) m
LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = a.parts[1]
LEFT JOIN pg_catalog.pg_class c ON c.relname = a.parts[2] AND c.relnamespace = n.oid
     AND EXISTS (SELECT FROM pg_catalog.pg_attribute k WHERE k.attrelid = c.oid AND k.attname = 'guestly_reservation_id')
