-- Bookings whose data changed: what Guestly holds of them, or was not sent, is looked at again. A failed one is queued afresh. One whose
-- call is in flight, or whose row somebody holds, waits for its turn; so no change is lost, and none is waited for. OFFSET 0 keeps
-- the questions look-ups by key: the plan is kept while the tables grow.
WITH free AS (
    SELECT q.booking_id FROM guestly.queue q
    WHERE q.booking_id = ANY (ARRAY (SELECT c.booking_id FROM guestly.changes c)) AND q.state <> 'sending'
    FOR UPDATE SKIP LOCKED
), taken AS (
    DELETE FROM guestly.changes c
    WHERE EXISTS (SELECT FROM free f WHERE f.booking_id = c.booking_id)
       OR NOT EXISTS (SELECT FROM guestly.queue q WHERE q.booking_id = c.booking_id OFFSET 0)
    RETURNING c.booking_id, c.arrival, c.changed_at
), news AS (
    SELECT DISTINCT ON (t.booking_id) t.booking_id, t.arrival FROM taken t ORDER BY t.booking_id, t.changed_at DESC
), afresh AS (
    UPDATE guestly.queue q
    SET state = 'ready', attempts = 0, due_at = clock_timestamp(), queued_at = clock_timestamp(), arrival = n.arrival,
        look_up_first = q.look_up_first OR q.creates > 0, look_ups = 0, verdict = NULL, error_class = NULL, error = NULL
    FROM news n WHERE q.booking_id = n.booking_id AND q.state = 'failed'
), moved AS (
    UPDATE guestly.queue q SET arrival = n.arrival
    FROM news n WHERE q.booking_id = n.booking_id AND q.state <> 'failed' AND q.arrival IS DISTINCT FROM n.arrival
), revived AS (
    DELETE FROM guestly.withdrawn w USING news n WHERE w.booking_id = n.booking_id RETURNING w.booking_id
)
INSERT INTO guestly.queue (booking_id, arrival)
SELECT n.booking_id, n.arrival FROM news n
WHERE NOT EXISTS (SELECT FROM guestly.queue q WHERE q.booking_id = n.booking_id OFFSET 0)
  AND (EXISTS (SELECT FROM guestly.reservations r WHERE r.booking_id = n.booking_id AND r.reservation_id NOT LIKE 'test-%' OFFSET 0)
       OR EXISTS (SELECT FROM revived v WHERE v.booking_id = n.booking_id))
ON CONFLICT (booking_id) DO NOTHING
