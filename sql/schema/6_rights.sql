-- Owner and rights come last in every script: everything belongs to guestly_owner; nothing for PUBLIC, the administrator's functions
-- for guestly_admin and service_role.

-- Nothing is created from here on, and whoever may create objects in the extension's schema may have put operators there.
SET LOCAL search_path = pg_catalog, pg_temp;

-- The roles. Roles belong to the server: another database may have made them, or a person.
DO $$
DECLARE
    own_level CONSTANT text := pg_catalog.current_setting('client_min_messages');
    wrong text; members text;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'guestly_owner') THEN
        CREATE ROLE guestly_owner NOLOGIN NOINHERIT;
        COMMENT ON ROLE guestly_owner IS 'owns the objects of guestly_sync; its functions and its worker run with the rights of this role';
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
                  HINT = 'It will own the extension''s objects. Remove them: ALTER ROLE guestly_owner NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS; and REVOKE the memberships.';
    END IF;
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'guestly_admin') THEN
        CREATE ROLE guestly_admin NOLOGIN;
        COMMENT ON ROLE guestly_admin IS 'may call the functions of guestly_sync and read guestly.status, queue and attempts';
    ELSE
        SELECT pg_catalog.string_agg(pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(m.member)), ', ') INTO members
        FROM pg_catalog.pg_auth_members m WHERE m.roleid = (SELECT r.oid FROM pg_catalog.pg_roles r WHERE r.rolname = 'guestly_admin');
        IF members IS NOT NULL OR (SELECT r.rolcanlogin FROM pg_catalog.pg_roles r WHERE r.rolname = 'guestly_admin') THEN
            -- Extension scripts silence notices.
            PERFORM pg_catalog.set_config('client_min_messages', 'notice', true);
            RAISE NOTICE 'guestly_sync: the role guestly_admin exists already and may now call the functions of the extension; %',
                pg_catalog.concat_ws(', ', CASE WHEN (SELECT r.rolcanlogin FROM pg_catalog.pg_roles r WHERE r.rolname = 'guestly_admin') THEN 'it can log in' END,
                                     'its members: ' || members);
            PERFORM pg_catalog.set_config('client_min_messages', own_level, true);
        END IF;
    END IF;
END $$;

-- The owner, before anything is granted: a grant is the owner's.
DO $$
DECLARE
    object record;
BEGIN
    ALTER SCHEMA guestly OWNER TO guestly_owner;
    FOR object IN
        SELECT CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind, c.oid::pg_catalog.regclass::text AS name
        FROM pg_catalog.pg_class c WHERE c.relnamespace = 'guestly'::pg_catalog.regnamespace AND c.relkind IN ('r', 'v', 'S')
          AND NOT (c.relkind = 'S' AND EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
                                               AND d.objid = c.oid AND d.deptype IN ('a', 'i')))
        UNION ALL
        SELECT 'ROUTINE', d.objid::pg_catalog.regprocedure::text FROM pg_catalog.pg_depend d
        WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
          AND d.deptype = 'e' AND d.refobjid = (SELECT e.oid FROM pg_catalog.pg_extension e WHERE e.extname = 'guestly_sync')
        UNION ALL
        SELECT 'DOMAIN', t.oid::pg_catalog.regtype::text FROM pg_catalog.pg_type t
        WHERE t.typnamespace = 'guestly'::pg_catalog.regnamespace AND t.typtype = 'd'
    LOOP
        EXECUTE pg_catalog.format('ALTER %s %s OWNER TO guestly_owner', object.kind, object.name);
    END LOOP;
    -- Its functions call those in the extension's schema, and the owner of an attached table needs the right to look into it. Also
    -- where PUBLIC may look into it: a review of the server's rights may take that away.
    GRANT USAGE ON SCHEMA @extschema@ TO guestly_owner WITH GRANT OPTION;
END $$;

DO $$
DECLARE
    function record;
    admin name;
    callable CONSTANT text[] := ARRAY['guestly_sync', 'guestly_retry_failed', 'guestly_preview', 'guestly_attach', 'guestly_detach',
        'guestly_arm', 'guestly_backfill', 'guestly_pause', 'guestly_resume', 'guestly_timeline', 'guestly_test_alert', 'guestly_doctor', 'status_row', 'backfill_row'];
    grantee record;
BEGIN
    FOR function IN
        SELECT p.oid::pg_catalog.regprocedure AS signature, p.proname FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_proc p ON p.oid = d.objid
        WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
          AND d.deptype = 'e' AND d.refobjid = (SELECT oid FROM pg_catalog.pg_extension WHERE extname = 'guestly_sync')
    LOOP
        -- Default privileges (Supabase has them) may have granted more than PUBLIC's EXECUTE.
        FOR grantee IN
            SELECT DISTINCT CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(g.grantee)) END AS name
            FROM pg_catalog.pg_proc p, pg_catalog.aclexplode(coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner))) g
            WHERE p.oid = function.signature AND g.grantee <> p.proowner
        LOOP
            EXECUTE pg_catalog.format('REVOKE ALL ON FUNCTION %s FROM %s', function.signature, grantee.name);
        END LOOP;
        EXECUTE pg_catalog.format('ALTER FUNCTION %s SET search_path = pg_catalog, pg_temp', function.signature);
        FOREACH admin IN ARRAY ARRAY['guestly_admin', 'service_role'] LOOP
            IF function.proname = ANY (callable) AND EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = admin) THEN
                EXECUTE pg_catalog.format('GRANT EXECUTE ON FUNCTION %s TO %I', function.signature, admin);
            END IF;
        END LOOP;
    END LOOP;
    -- Whoever may create in our schema could add functions there that match a call better than ours.
    FOR grantee IN
        SELECT DISTINCT CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(g.grantee)) END AS name
        FROM pg_catalog.pg_namespace n, pg_catalog.aclexplode(n.nspacl) g WHERE n.nspname = 'guestly' AND g.grantee <> n.nspowner
    LOOP
        EXECUTE pg_catalog.format('REVOKE ALL ON SCHEMA guestly FROM %s', grantee.name);
    END LOOP;
    FOR function IN
        SELECT c.oid::pg_catalog.regclass AS relation FROM pg_catalog.pg_class c WHERE c.relnamespace = 'guestly'::pg_catalog.regnamespace AND c.relkind IN ('r', 'v', 'S')
    LOOP
        FOR grantee IN
            SELECT DISTINCT CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(g.grantee)) END AS name
            FROM pg_catalog.pg_class c, pg_catalog.aclexplode(c.relacl) g WHERE c.oid = function.relation AND g.grantee <> c.relowner
        LOOP
            EXECUTE pg_catalog.format('REVOKE ALL ON %s FROM %s', function.relation, grantee.name);
        END LOOP;
    END LOOP;
    FOREACH admin IN ARRAY ARRAY['guestly_admin', 'service_role'] LOOP
        IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = admin) THEN
            EXECUTE pg_catalog.format('GRANT USAGE ON SCHEMA guestly TO %I', admin);
            EXECUTE pg_catalog.format('GRANT USAGE ON SCHEMA @extschema@ TO %I', admin);
            EXECUTE pg_catalog.format('GRANT SELECT ON guestly.status, guestly.queue, guestly.attempts TO %I', admin);
        END IF;
    END LOOP;
END $$;

-- What a dump takes along: the configuration, the queue and what Guestly holds; not the token, nor what belongs to this server.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['attachment', 'queue', 'reservations', 'attempts', 'listings', 'status_map', 'field_map',
                                'old_bookings', 'backfills', 'withdrawn', 'changes', 'installations', 'pause'] LOOP
        PERFORM pg_catalog.pg_extension_config_dump(pg_catalog.format('guestly.%I', name)::pg_catalog.regclass, '');
    END LOOP;
END $$;

INSERT INTO guestly.installations (system_identifier, database_oid, environment)
SELECT system_identifier, database_oid, environment FROM guestly.this_installation();

-- The table `bookings` on the search path of whoever runs CREATE EXTENSION; the script itself runs under another path. None if
-- it is not clear which one: in a schema named like the role, anybody who may create schemas could have put one before the real one.
DO $$
DECLARE
    own_path CONSTANT text := pg_catalog.current_setting('search_path');
    own_level CONSTANT text := pg_catalog.current_setting('client_min_messages');
    schemas name[];
    found record;
    candidates text;
BEGIN
    PERFORM pg_catalog.set_config('search_path', coalesce(guestly.caller_search_path(),
        (SELECT s.reset_val FROM pg_catalog.pg_settings s WHERE s.name = 'search_path')), true);
    schemas := pg_catalog.current_schemas(false);
    PERFORM pg_catalog.set_config('search_path', own_path, true);
    -- Extension scripts silence notices.
    PERFORM pg_catalog.set_config('client_min_messages', 'notice', true);
    SELECT pg_catalog.string_agg(pg_catalog.format('%s (of %I)', c.name, c.owner), ', ') AS names, pg_catalog.count(*) AS tables,
           pg_catalog.min(c.relation::oid)::pg_catalog.regclass AS relation, pg_catalog.min(c.name) AS name,
           pg_catalog.min(c.owner) AS owner, pg_catalog.bool_and(c.is_trusted) AS is_trusted
    INTO found FROM guestly.candidates(schemas) c;
    IF found.tables = 1 AND found.is_trusted THEN
        RAISE NOTICE 'guestly_sync: attaching the table %, which belongs to %', found.name, found.owner;
        PERFORM @extschema@.guestly_attach(found.relation);
    ELSIF found.tables = 1 THEN
        RAISE NOTICE 'guestly_sync: the table % was not attached: it belongs to %, who owns neither this database nor a table of the schema public, or a part of it belongs to another role',
                found.name, found.owner
            USING HINT = pg_catalog.format('If it is the table of your bookings: SELECT %s.guestly_attach(%L);', '@extschema@', found.name);
    ELSIF found.tables > 1 THEN
        RAISE NOTICE 'guestly_sync: no table was attached, because there are several tables bookings on the search path: %', found.names
            USING HINT = 'Attach the one that holds your bookings: SELECT @extschema@.guestly_attach(''<schema>.bookings'');';
    ELSE
        RAISE NOTICE 'guestly_sync: no table bookings on the search path; attach one later with SELECT guestly_attach(''your_table'')';
    END IF;
    IF NOT guestly.is_preloaded() THEN
        RAISE WARNING 'guestly_sync is not loaded at server start: bookings are queued, and nothing is sent'
            USING HINT = pg_catalog.format('Add it to shared_preload_libraries in postgresql.conf (now %L) and restart the server.',
                                           guestly.preloaded_libraries());
    END IF;
    PERFORM pg_catalog.set_config('client_min_messages', own_level, true);
END $$;
