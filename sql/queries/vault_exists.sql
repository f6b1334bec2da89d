-- Whether this database has Supabase Vault.
SELECT pg_catalog.to_regclass('vault.decrypted_secrets') IS NOT NULL
