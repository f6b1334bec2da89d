-- Who owns the view of Supabase Vault's secrets, where this database has one.
SELECT c.relowner FROM pg_catalog.pg_class c WHERE c.oid = pg_catalog.to_regclass('vault.decrypted_secrets')
