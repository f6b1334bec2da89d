-- What is wrong with the settings of mail ($1); null: nothing.
UPDATE guestly.worker SET mail_problem = $1 WHERE mail_problem IS DISTINCT FROM $1
