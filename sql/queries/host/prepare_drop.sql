-- Remembers what waits, before DROP EXTENSION.
SELECT guestly.prepare_drop()
