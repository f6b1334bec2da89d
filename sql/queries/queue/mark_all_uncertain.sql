-- If the WAL timeline differs from the last worker's (promoted standby, point-in-time recovery), queued bookings may already have been
-- sent, up to now ($1): they are looked up ($2 when) until guestly_sync.settle has passed.
UPDATE guestly.queue q
SET state = 'unknown', uncertain_since = pg_catalog.to_timestamp($1), look_ups = 0, failed_reads = 0, due_at = pg_catalog.to_timestamp($2)
WHERE q.state <> 'failed'
  AND (SELECT w.wal_timeline FROM guestly.worker w) <> substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)
