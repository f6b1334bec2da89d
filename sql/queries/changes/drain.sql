-- Queues changed bookings that have a reservation or were withdrawn. A booking that is claimed or whose row is locked stays in
-- guestly.changes until a later cycle, so no change is lost and no lock is waited for. In test mode ($1) the changes of real
-- reservations stay there until test mode ends. Returns failed bookings, to be requeued. OFFSET 0 keeps the subqueries look-ups by key:
-- the plan is cached while the tables grow. Not guestly.known_bookings: see queue/claim_due.sql.
WITH free AS (
    SELECT q.booking_id FROM guestly.queue q
    WHERE q.booking_id = ANY (ARRAY (SELECT c.booking_id FROM guestly.changes c)) AND q.state <> 'sending'
    FOR UPDATE SKIP LOCKED
), taken AS (
    DELETE FROM guestly.changes c
    WHERE (EXISTS (SELECT FROM free f WHERE f.booking_id = c.booking_id)
           OR NOT EXISTS (SELECT FROM guestly.queue q WHERE q.booking_id = c.booking_id OFFSET 0))
      AND NOT ($1 AND EXISTS (SELECT FROM guestly.reservations k WHERE k.booking_id = c.booking_id AND k.reservation_id NOT LIKE 'test-%' OFFSET 0))
    RETURNING c.booking_id, c.arrival, c.changed_at
), latest AS (
    SELECT DISTINCT ON (t.booking_id) t.booking_id, t.arrival FROM taken t ORDER BY t.booking_id, t.changed_at DESC
), moved AS (
    UPDATE guestly.queue q SET arrival = n.arrival
    FROM latest n WHERE q.booking_id = n.booking_id AND q.state <> 'failed' AND q.arrival IS DISTINCT FROM n.arrival
), revived AS (
    DELETE FROM guestly.withdrawn w USING latest n WHERE w.booking_id = n.booking_id RETURNING w.booking_id
), queued AS (
    INSERT INTO guestly.queue (booking_id, arrival, follow_up)
    SELECT n.booking_id, n.arrival, r.found
    FROM latest n CROSS JOIN LATERAL (SELECT EXISTS (SELECT FROM guestly.reservations k WHERE k.booking_id = n.booking_id AND k.reservation_id NOT LIKE 'test-%' OFFSET 0)) AS r (found)
    WHERE NOT EXISTS (SELECT FROM guestly.queue q WHERE q.booking_id = n.booking_id OFFSET 0)
      AND (r.found OR EXISTS (SELECT FROM revived v WHERE v.booking_id = n.booking_id))
    ON CONFLICT (booking_id) DO NOTHING
)
SELECT n.booking_id, n.arrival::text FROM latest n JOIN LATERAL (SELECT k.state FROM guestly.queue k WHERE k.booking_id = n.booking_id OFFSET 0) q ON q.state = 'failed'
