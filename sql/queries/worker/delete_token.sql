-- A token that Guestly rejected.
DELETE FROM guestly.token
