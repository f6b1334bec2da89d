-- A mail with these alerts ($1) is about to leave under this key ($2); null: it certainly was not taken, and why ($3).
UPDATE guestly.alerts SET mail_key = $2, answer = coalesce($3, answer) WHERE id = ANY ($1)
