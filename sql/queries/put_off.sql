-- The worker was ended because code of the host's table did not end for this booking ($1): it waits, longer each time ($2 now, $3 after how
-- many seconds it was ended), so that the others go first. Its state says what it said: what is in doubt stays in doubt.
WITH hangs AS (
    SELECT count(*) AS before FROM guestly.attempts a
    WHERE a.booking_id = $1 AND a.outcome = 'hung' AND a.started_at >= (SELECT q.queued_at FROM guestly.queue q WHERE q.booking_id = $1)
), words AS (
    SELECT format('code of the table %s did not end within %s s: see its triggers and guestly.field_map',
                  (SELECT a.bookings FROM guestly.attachment a), $3) AS sentence
), off AS (
    UPDATE guestly.queue q
    SET state = CASE WHEN q.state <> 'ready' THEN q.state
                     WHEN q.look_up_first OR q.doubt_since IS NOT NULL OR q.home <> q.tableoid THEN 'unknown' ELSE 'waiting' END,
        due_at = pg_catalog.to_timestamp($2)
                 + ((ARRAY[1, 2, 5, 10, 20, 30])[least(h.before, 5) + 1]) * interval '1 minute',
        error_class = 'internal', error = w.sentence
    FROM hangs h, words w WHERE q.booking_id = $1 AND q.state IN ('ready', 'waiting', 'unknown')
)
INSERT INTO guestly.attempts (booking_id, attempt, operation, started_at, outcome, error_class, error)
SELECT $1, coalesce((SELECT q.attempts FROM guestly.queue q WHERE q.booking_id = $1), 0), 'plan', pg_catalog.to_timestamp($2), 'hung', 'internal', w.sentence
FROM words w
