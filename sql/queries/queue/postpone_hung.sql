-- Postpones a booking ($1) after the worker was terminated because host code did not end for it ($2 now, $3 the time limit in seconds).
-- The pause grows each time, so that other bookings are processed first. The state is kept: an unknown outcome stays unknown. After the
-- fifth time the booking fails, until the code is corrected; then this returns the error.
WITH hangs AS (
    SELECT count(*) AS before FROM guestly.attempts a
    WHERE a.booking_id = $1 AND a.outcome = 'hung' AND a.started_at >= (SELECT q.queued_at FROM guestly.queue q WHERE q.booking_id = $1)
), result AS (
    SELECT h.before, h.before >= 4 AS parked,
           format('code of the table %s did not end within %s s', (SELECT a.bookings FROM guestly.attachment a), $3)
           || CASE WHEN h.before < 4 THEN ': check its triggers and guestly.field_map'
                   ELSE format(', %s times: %s; correct the trigger or the mapping, then SELECT guestly_sync(%L)', h.before + 1,
                               CASE WHEN r.reservation_id IS NOT NULL
                                        THEN format('Guestly has reservation %s, do not create it manually', r.reservation_id)
                                    WHEN q.verify_first OR q.uncertain_since IS NOT NULL OR q.unconfirmed_creates > 0 OR q.state = 'unknown'
                                        THEN format('Guestly may have a reservation, search there for the confirmation code %s before you create it manually', q.confirmation_code)
                                    ELSE 'Guestly does not have a reservation' END, $1) END AS sentence
    FROM hangs h LEFT JOIN guestly.queue q ON q.booking_id = $1
    LEFT JOIN guestly.reservations r ON r.booking_id = $1
), off AS (
    UPDATE guestly.queue q
    SET state = CASE WHEN w.parked THEN 'failed' WHEN q.state <> 'ready' THEN q.state
                     WHEN q.verify_first OR q.uncertain_since IS NOT NULL OR q.queued_in <> q.tableoid THEN 'unknown' ELSE 'waiting' END,
        verify_first = q.verify_first OR w.parked AND (q.state = 'unknown' OR q.uncertain_since IS NOT NULL),
        due_at = pg_catalog.to_timestamp($2)
                 + ((ARRAY[1, 2, 5, 10, 20, 30])[least(w.before, 5) + 1]) * interval '1 minute',
        error_class = 'internal', error = w.sentence
    FROM result w WHERE q.booking_id = $1 AND q.state IN ('ready', 'waiting', 'unknown')
    RETURNING w.parked
), logged AS (
    INSERT INTO guestly.attempts (booking_id, attempt, operation, started_at, outcome, error_class, error)
    SELECT $1, coalesce((SELECT q.attempts FROM guestly.queue q WHERE q.booking_id = $1), 0), 'plan', pg_catalog.to_timestamp($2), 'hung', 'internal', w.sentence
    FROM result w
)
SELECT w.sentence FROM result w JOIN off o ON o.parked
