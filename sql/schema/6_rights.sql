-- Owner and privileges come last in every script: guestly_owner owns everything; PUBLIC has no privileges; guestly_admin and service_role
-- may call the administrator's functions. Upgrade scripts repeat this file, so it defines nothing and can run again.

-- Nothing is created from here on. The extension's schema leaves the search path, because other roles may have created operators in it.
SET LOCAL search_path = pg_catalog, pg_temp;

-- The roles. They are shared by all databases of the server, so they may already exist.
DO $$
DECLARE
    own_level CONSTANT text := pg_catalog.current_setting('client_min_messages');
    wrong text; members text;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'guestly_owner') THEN
        CREATE ROLE guestly_owner NOLOGIN NOINHERIT;
        COMMENT ON ROLE guestly_owner IS 'owns the objects of guestly_sync; its functions and its worker run with the privileges of this role';
    END IF;
    SELECT pg_catalog.concat_ws(', ', CASE WHEN r.rolcanlogin THEN 'LOGIN' END, CASE WHEN r.rolsuper THEN 'SUPERUSER' END,
               CASE WHEN r.rolcreatedb THEN 'CREATEDB' END, CASE WHEN r.rolcreaterole THEN 'CREATEROLE' END,
               CASE WHEN r.rolreplication THEN 'REPLICATION' END, CASE WHEN r.rolbypassrls THEN 'BYPASSRLS' END,
               (SELECT 'the members ' || pg_catalog.string_agg(pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(m.member)), ' and ')
                FROM pg_catalog.pg_auth_members m WHERE m.roleid = r.oid),
               (SELECT 'membership in ' || pg_catalog.string_agg(pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(m.roleid)), ' and ')
                FROM pg_catalog.pg_auth_members m WHERE m.member = r.oid))
    INTO wrong FROM pg_catalog.pg_roles r WHERE r.rolname = 'guestly_owner';
    IF wrong <> '' THEN
        RAISE EXCEPTION 'the role guestly_owner must have no login, no attributes, no members and no memberships'
            USING ERRCODE = 'object_not_in_prerequisite_state', DETAIL = pg_catalog.format('It has %s.', wrong),
                  HINT = 'It will own the extension''s objects. Remove these: ALTER ROLE guestly_owner NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS; and REVOKE the memberships.';
    END IF;
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'guestly_admin') THEN
        CREATE ROLE guestly_admin NOLOGIN;
        COMMENT ON ROLE guestly_admin IS 'may call the functions of guestly_sync and read guestly.status, queue and attempts';
    ELSE
        SELECT pg_catalog.string_agg(pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(m.member)), ', ') INTO members
        FROM pg_catalog.pg_auth_members m WHERE m.roleid = (SELECT r.oid FROM pg_catalog.pg_roles r WHERE r.rolname = 'guestly_admin');
        -- An upgrade grants it nothing new.
        IF (members IS NOT NULL OR (SELECT r.rolcanlogin FROM pg_catalog.pg_roles r WHERE r.rolname = 'guestly_admin'))
           AND (SELECT n.nspowner::pg_catalog.regrole::text FROM pg_catalog.pg_namespace n WHERE n.nspname = 'guestly') <> 'guestly_owner' THEN
            -- Extension scripts run with client_min_messages = warning.
            PERFORM pg_catalog.set_config('client_min_messages', 'notice', true);
            RAISE NOTICE 'guestly_sync: role guestly_admin already exists and can now call the functions of the extension; %',
                pg_catalog.concat_ws(', ', CASE WHEN (SELECT r.rolcanlogin FROM pg_catalog.pg_roles r WHERE r.rolname = 'guestly_admin') THEN 'it can log in' END,
                                     'its members: ' || members);
            PERFORM pg_catalog.set_config('client_min_messages', own_level, true);
        END IF;
    END IF;
END $$;

-- Owner and privileges of every object that guestly_owner does not own yet: all objects at CREATE EXTENSION, the new ones in an upgrade.
-- Privileges that an administrator granted on the others are kept.
DO $$
DECLARE
    callable CONSTANT text[] := ARRAY['guestly_sync', 'guestly_retry_failed', 'guestly_preview', 'guestly_attach', 'guestly_detach',
        'guestly_arm', 'guestly_backfill', 'guestly_pause', 'guestly_resume', 'guestly_timeline', 'guestly_test_alert', 'guestly_doctor', 'status_row', 'backfill_row'];
    readable CONSTANT text[] := ARRAY['status', 'queue', 'attempts'];
    owner CONSTANT oid := (SELECT r.oid FROM pg_catalog.pg_roles r WHERE r.rolname = 'guestly_owner');
    object record;
    grantee record;
    admin name;
BEGIN
    -- Its functions call those in the extension's schema, and it grants USAGE on that schema to the owner of an attached table. Granted
    -- even if PUBLIC has USAGE, which may be revoked later.
    GRANT USAGE ON SCHEMA @extschema@ TO guestly_owner WITH GRANT OPTION;
    FOR object IN
        WITH member AS (
            SELECT d.classid, d.objid FROM pg_catalog.pg_depend d
            WHERE d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.deptype = 'e'
              AND d.refobjid = (SELECT e.oid FROM pg_catalog.pg_extension e WHERE e.extname = 'guestly_sync')
        )
        SELECT 'SCHEMA' AS kind, n.nspname::text AS name, n.oid, true AS has_own_owner, 'USAGE' AS granted
        FROM member m JOIN pg_catalog.pg_namespace n ON m.classid = 'pg_catalog.pg_namespace'::pg_catalog.regclass AND n.oid = m.objid
        WHERE n.nspowner <> owner
        UNION ALL
        -- The owner of a column's sequence changes with its table.
        SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, c.oid::pg_catalog.regclass::text, c.oid,
               c.relkind <> 'S' OR NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
                                               AND d.objid = c.oid AND d.deptype IN ('a', 'i')),
               CASE WHEN c.relname = ANY (readable) THEN 'SELECT' END
        FROM member m JOIN pg_catalog.pg_class c ON m.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND c.oid = m.objid
        WHERE c.relowner <> owner AND c.relkind IN ('r', 'v', 'S')
        UNION ALL
        SELECT 'ROUTINE', p.oid::pg_catalog.regprocedure::text, p.oid, true, CASE WHEN p.proname = ANY (callable) THEN 'EXECUTE' END
        FROM member m JOIN pg_catalog.pg_proc p ON m.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND p.oid = m.objid
        WHERE p.proowner <> owner
        UNION ALL
        SELECT 'DOMAIN', t.oid::pg_catalog.regtype::text, t.oid, true, NULL
        FROM member m JOIN pg_catalog.pg_type t ON m.classid = 'pg_catalog.pg_type'::pg_catalog.regclass AND t.oid = m.objid
        WHERE t.typowner <> owner AND t.typtype = 'd'
    LOOP
        -- The owner first, because grants are made by the owner.
        IF object.has_own_owner THEN
            EXECUTE pg_catalog.format('ALTER %s %s OWNER TO guestly_owner', object.kind, object.name);
        END IF;
        -- Default privileges (as on Supabase) may have granted more than EXECUTE to PUBLIC. A role with CREATE on the schema guestly could
        -- add functions there that match a call better than the extension's own.
        FOR grantee IN
            SELECT DISTINCT CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(g.grantee)) END AS name
            FROM (SELECT n.nspacl, n.nspowner FROM pg_catalog.pg_namespace n WHERE object.kind = 'SCHEMA' AND n.oid = object.oid
                  UNION ALL SELECT c.relacl, c.relowner FROM pg_catalog.pg_class c WHERE object.kind IN ('TABLE', 'SEQUENCE') AND c.oid = object.oid
                  UNION ALL SELECT coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner)), p.proowner
                  FROM pg_catalog.pg_proc p WHERE object.kind = 'ROUTINE' AND p.oid = object.oid) AS a (acl, owner),
                 pg_catalog.aclexplode(a.acl) g
            WHERE g.grantee <> a.owner
        LOOP
            EXECUTE pg_catalog.format('REVOKE ALL ON %s %s FROM %s', object.kind, object.name, grantee.name);
        END LOOP;
        FOREACH admin IN ARRAY ARRAY['guestly_admin', 'service_role'] LOOP
            IF object.granted IS NOT NULL AND EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = admin) THEN
                EXECUTE pg_catalog.format('GRANT %s ON %s %s TO %I', object.granted, object.kind, object.name, admin);
                IF object.kind = 'SCHEMA' THEN
                    EXECUTE pg_catalog.format('GRANT USAGE ON SCHEMA @extschema@ TO %I', admin);
                END IF;
            END IF;
        END LOOP;
    END LOOP;
END $$;

-- Tables whose rows are dumped: configuration, queue and reservations; not the token, and nothing that is specific to this server.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['attachment', 'queue', 'reservations', 'attempts', 'listings', 'status_map', 'field_map',
                                'old_bookings', 'backfills', 'withdrawn', 'changes', 'installations', 'pause'] LOOP
        PERFORM pg_catalog.pg_extension_config_dump(pg_catalog.format('guestly.%I', name)::pg_catalog.regclass, '');
    END LOOP;
END $$;
