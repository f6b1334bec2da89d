-- Alerts ($1) that are done with: $2 sent or repeated, $3 what the mail server said.
UPDATE guestly.alerts SET state = $2, closed_at = pg_catalog.clock_timestamp(), mail_key = NULL, answer = coalesce($3, answer)
WHERE id = ANY ($1) AND state = 'waiting'
