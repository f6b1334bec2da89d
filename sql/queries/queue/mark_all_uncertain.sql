-- On another timeline than the last worker's (a promoted standby, a recovery to a point in time) Guestly may hold what is
-- only queued here, from a call that ended a moment ago ($1 now): it is asked until settle has passed ($2 when to look).
UPDATE guestly.queue q
SET state = 'unknown', uncertain_since = pg_catalog.to_timestamp($1), look_ups = 0, failed_reads = 0, due_at = pg_catalog.to_timestamp($2)
WHERE q.state <> 'failed'
  AND (SELECT w.wal_timeline FROM guestly.worker w) <> substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)
