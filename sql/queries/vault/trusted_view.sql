-- The view of Supabase Vault's secrets, if this database has one. Any role that can create schemas could create one named `vault`, so the
-- view must be part of the extension or owned by a superuser.
SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'vault' AND c.relname = 'decrypted_secrets'
  AND ((SELECT r.rolsuper FROM pg_catalog.pg_roles r WHERE r.oid = c.relowner)
       OR EXISTS (SELECT FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
                  WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e'
                    AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND e.extname = 'supabase_vault'))
