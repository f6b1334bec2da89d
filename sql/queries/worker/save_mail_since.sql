-- An alert mail is about to leave ($1), or none is under way.
INSERT INTO guestly.worker AS w (mail_since) VALUES (CASE WHEN $1 THEN pg_catalog.clock_timestamp() END)
ON CONFLICT (id) DO UPDATE SET mail_since = excluded.mail_since WHERE w.mail_since IS DISTINCT FROM excluded.mail_since
