-- On another WAL timeline than the last worker's (a promoted standby, a recovery to a point in time) Guestly may have bookings that are
-- only queued here, from a call that ended a moment ago ($1 now): they are looked up until the propagation delay has passed ($2 first).
UPDATE guestly.queue q
SET state = 'unknown', uncertain_since = pg_catalog.to_timestamp($1), look_ups = 0, failed_reads = 0, due_at = pg_catalog.to_timestamp($2)
WHERE q.state <> 'failed'
  AND (SELECT w.wal_timeline FROM guestly.worker w) <> substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)
