-- Statuses ($1) that mean paid from now on: the bookings ($2) that have one of them already were paid before. Not those that a
-- trigger queued since the setting was changed, whatever became of them.
WITH seen AS (
    UPDATE guestly.attachment SET paid_statuses_seen = paid_statuses_seen || $1
)
INSERT INTO guestly.old_bookings (booking_id)
SELECT o.id FROM unnest($2::text[]) AS o (id)
WHERE NOT EXISTS (SELECT FROM guestly.known_bookings k WHERE k.booking_id = o.id AND k.reason <> 'paid_before' OFFSET 0)
ON CONFLICT (booking_id) DO NOTHING
