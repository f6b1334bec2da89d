-- Whose certificates TLS trusts ($1), or what is wrong with them ($2).
UPDATE guestly.worker SET tls_roots = $1, tls_problem = $2 WHERE (tls_roots, tls_problem) IS DISTINCT FROM ($1, $2)
