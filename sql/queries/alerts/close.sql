-- Closes alerts ($1 ids): $2 the new state, sent or repeated; $3 the answer of the mail server.
UPDATE guestly.alerts SET state = $2, closed_at = pg_catalog.clock_timestamp(), mail_key = NULL, answer = coalesce($3, answer)
WHERE id = ANY ($1) AND state = 'waiting'
