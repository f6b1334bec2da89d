-- Closes alerts about bookings that succeeded before the mail was sent.
UPDATE guestly.alerts a SET state = 'placed', closed_at = clock_timestamp()
WHERE a.state = 'waiting' AND a.mail_key IS NULL AND a.kind IN ('booking_failed', 'dates_taken', 'stale')
  AND EXISTS (SELECT FROM guestly.reservations r WHERE r.booking_id = a.booking_id AND greatest(r.recorded_at, r.changed_at) > a.raised_at OFFSET 0)
  AND NOT EXISTS (SELECT FROM guestly.queue q WHERE q.booking_id = a.booking_id OFFSET 0)
