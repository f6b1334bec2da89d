-- What the mail server said to a test mail.
UPDATE guestly.worker SET mail_answer = $1
