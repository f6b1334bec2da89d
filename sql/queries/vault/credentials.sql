-- Credentials in Supabase Vault.
SELECT v.name::text, v.decrypted_secret::text FROM vault.decrypted_secrets v
WHERE v.name::text = ANY (ARRAY['guestly_client_id', 'guestly_client_secret'])
