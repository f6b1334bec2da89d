-- Recovers the claims of a dead worker ($1 now, $2 when to look up, $3 when a change has propagated, $4 bookings that this worker is
-- calling for). Its creates and changes may have taken effect, so each outcome becomes unknown; a look-up changed nothing and is due
-- again. A status call for a confirmed reservation can only have been its cancellation, so `ended` is set. Each claim gets a row in
-- guestly.attempts. Locked rows are skipped; the next sweep finds them.
WITH orphans AS (
    UPDATE guestly.queue q
    SET state = 'unknown', claim_id = NULL, operation = NULL,
        error_class = CASE o.operation WHEN 'create' THEN 'unknown_outcome' ELSE q.error_class END,
        error = CASE o.operation WHEN 'create' THEN 'the worker ended during the call' ELSE q.error END,
        uncertain_since = CASE o.operation WHEN 'create' THEN pg_catalog.to_timestamp($1) ELSE q.uncertain_since END,
        look_ups = CASE o.operation WHEN 'create' THEN 0 ELSE q.look_ups END,
        failed_reads = CASE o.operation WHEN 'create' THEN 0 ELSE q.failed_reads END,
        unconfirmed_creates = q.unconfirmed_creates + CASE o.operation WHEN 'create' THEN 1 ELSE 0 END,
        due_at = CASE WHEN o.operation IN ('create', 'look_up', 'read_back', 'list_payments') THEN pg_catalog.to_timestamp($2)
                      ELSE pg_catalog.to_timestamp($3) END
    FROM (SELECT s.booking_id, s.operation, s.attempts FROM guestly.queue s WHERE s.claim_id IS NOT NULL AND s.booking_id <> ALL ($4)
          FOR UPDATE SKIP LOCKED) o
    WHERE q.booking_id = o.booking_id
    RETURNING q.booking_id, q.attempts, o.operation
), cancelled AS (
    UPDATE guestly.reservations r SET ended = true
    FROM orphans o WHERE r.booking_id = o.booking_id AND o.operation = 'status' AND r.status = 'confirmed'
)
INSERT INTO guestly.attempts (booking_id, attempt, operation, started_at, outcome, error_class, error)
SELECT booking_id, attempts, operation, pg_catalog.to_timestamp($1), 'unknown', 'unknown_outcome', 'the worker ended during the call'
FROM orphans
