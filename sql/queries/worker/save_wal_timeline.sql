-- The timeline that this worker writes.
INSERT INTO guestly.worker AS w (timeline) VALUES (substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))
ON CONFLICT (id) DO UPDATE SET timeline = excluded.timeline WHERE w.timeline IS DISTINCT FROM excluded.timeline
