-- Saves the current WAL timeline.
INSERT INTO guestly.worker AS w (wal_timeline) VALUES (substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))
ON CONFLICT (id) DO UPDATE SET wal_timeline = excluded.wal_timeline WHERE w.wal_timeline IS DISTINCT FROM excluded.wal_timeline
