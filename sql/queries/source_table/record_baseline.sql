-- Words ($1) that mean paid from now on: the bookings ($2) that read so already were paid before, and are old. Not those that a
-- trigger queued since the setting was changed, whatever became of them.
WITH known AS (
    UPDATE guestly.attachment SET paid_words = paid_words || $1
)
INSERT INTO guestly.old_bookings (booking_id)
SELECT o.id FROM unnest($2::text[]) AS o (id)
WHERE NOT EXISTS (SELECT FROM guestly.queue q WHERE q.booking_id = o.id OFFSET 0)
  AND NOT EXISTS (SELECT FROM guestly.reservations r WHERE r.booking_id = o.id OFFSET 0)
  AND NOT EXISTS (SELECT FROM guestly.withdrawn w WHERE w.booking_id = o.id OFFSET 0)
ON CONFLICT (booking_id) DO NOTHING
