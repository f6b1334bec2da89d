-- The timeline that this worker writes.
UPDATE guestly.worker SET timeline = substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)
WHERE timeline IS DISTINCT FROM substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)
