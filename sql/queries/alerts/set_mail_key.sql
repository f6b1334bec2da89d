-- Before a mail with these alerts ($1 ids) is sent: its key ($2). Null after a mail that was certainly not accepted, with the reason ($3).
UPDATE guestly.alerts SET mail_key = $2, answer = coalesce($3, answer) WHERE id = ANY ($1)
