-- Saves the error in the mail settings ($1); null if there is none.
INSERT INTO guestly.worker AS w (mail_problem) VALUES ($1)
ON CONFLICT (id) DO UPDATE SET mail_problem = excluded.mail_problem WHERE w.mail_problem IS DISTINCT FROM excluded.mail_problem
