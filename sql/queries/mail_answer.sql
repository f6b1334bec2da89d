-- What the mail server said to a test mail.
INSERT INTO guestly.worker (mail_answer) VALUES ($1)
ON CONFLICT (id) DO UPDATE SET mail_answer = excluded.mail_answer
