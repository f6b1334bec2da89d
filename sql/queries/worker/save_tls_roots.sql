-- Saves the source of the trusted TLS certificates ($1), or the error in loading them ($2).
INSERT INTO guestly.worker AS w (tls_roots, tls_problem) VALUES ($1, $2)
ON CONFLICT (id) DO UPDATE SET tls_roots = excluded.tls_roots, tls_problem = excluded.tls_problem
WHERE (w.tls_roots, w.tls_problem) IS DISTINCT FROM (excluded.tls_roots, excluded.tls_problem)
