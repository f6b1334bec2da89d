-- The view of Supabase Vault's secrets, where this database has one. Whoever may create schemas may call one `vault`: it
-- counts only as part of the extension, or as a superuser's.
SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'vault' AND c.relname = 'decrypted_secrets'
  AND ((SELECT r.rolsuper FROM pg_catalog.pg_roles r WHERE r.oid = c.relowner)
       OR EXISTS (SELECT FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
                  WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e'
                    AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND e.extname = 'supabase_vault'))
