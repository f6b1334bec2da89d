-- Statuses ($1) that mean paid from now on: bookings ($2) that already have one of them count as paid before, except those that a trigger
-- has queued since the setting changed.
WITH seen AS (
    UPDATE guestly.attachment SET paid_statuses_seen = paid_statuses_seen || $1
)
INSERT INTO guestly.old_bookings (booking_id)
SELECT o.id FROM unnest($2::text[]) AS o (id)
WHERE NOT EXISTS (SELECT FROM guestly.known_bookings k WHERE k.booking_id = o.id AND k.reason <> 'paid_before' OFFSET 0)
ON CONFLICT (booking_id) DO NOTHING
