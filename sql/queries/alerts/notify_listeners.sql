-- Sends a notification for each of these alerts ($1 ids). It must not abort the transaction, which also records outcomes: PostgreSQL
-- rejects payloads of 8000 bytes or more, and all payloads while the notification queue is full.
SELECT count(pg_catalog.pg_notify('guestly_sync', pg_catalog.json_build_object(
           'kind', a.kind, 'class', nullif(pg_catalog.split_part(a.cause, ':', 1), ''),
           'booking_id', pg_catalog.left(a.booking_id, 300), 'reference', pg_catalog.left(a.reference, 300))::text))
FROM guestly.alerts a WHERE a.id = ANY ($1) AND pg_catalog.pg_notification_queue_usage() < 0.9
