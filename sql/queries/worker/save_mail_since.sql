-- Records that an alert mail is about to be sent ($1), or that none is in progress.
INSERT INTO guestly.worker AS w (mail_started_at) VALUES (CASE WHEN $1 THEN pg_catalog.clock_timestamp() END)
ON CONFLICT (id) DO UPDATE SET mail_started_at = excluded.mail_started_at WHERE w.mail_started_at IS DISTINCT FROM excluded.mail_started_at
