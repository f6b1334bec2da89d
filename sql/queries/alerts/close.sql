-- Closes alerts ($1) with a state ($2) and the mail server's answer ($3).
UPDATE guestly.alerts SET state = $2, closed_at = pg_catalog.clock_timestamp(), mail_key = NULL, answer = coalesce($3, answer)
WHERE id = ANY ($1) AND state = 'waiting'
