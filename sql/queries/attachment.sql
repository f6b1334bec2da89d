-- The attached table with its owner; the owner is null when the table is gone.
SELECT a.bookings, a.key_column, a.key_type, a.payment_column, a.arrival_column, c.relowner, pg_catalog.quote_ident(n.nspname)
FROM guestly.attachment a
LEFT JOIN pg_catalog.pg_class c ON c.oid = pg_catalog.to_regclass(a.bookings)
LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
