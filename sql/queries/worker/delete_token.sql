-- Deletes the token after Guestly rejected it.
DELETE FROM guestly.token
