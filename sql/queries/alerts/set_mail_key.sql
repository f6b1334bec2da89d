-- A mail with these alerts ($1) is about to be sent under this key ($2); null: it was certainly not accepted, and why ($3).
UPDATE guestly.alerts SET mail_key = $2, answer = coalesce($3, answer) WHERE id = ANY ($1)
