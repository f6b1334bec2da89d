-- On another timeline than the last worker's (a promoted standby, a recovery to a point in time) Guestly may hold what is
-- only queued here: it is asked first.
UPDATE guestly.queue q SET look_up_first = true
WHERE q.state <> 'failed'
  AND (SELECT w.timeline FROM guestly.worker w) <> substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)
