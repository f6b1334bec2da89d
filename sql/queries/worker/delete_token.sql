-- Deletes a token that Guestly rejected.
DELETE FROM guestly.token
