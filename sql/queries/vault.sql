-- Credentials in Supabase Vault.
SELECT name, decrypted_secret FROM vault.decrypted_secrets WHERE name IN ('guestly_client_id', 'guestly_client_secret')
