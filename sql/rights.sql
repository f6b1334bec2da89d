-- Rights come last in every script: nothing for PUBLIC, the administrator's functions for guestly_admin and service_role.

-- Nothing is created from here on, and whoever may create objects in the extension's schema may have put operators there.
SET LOCAL search_path = pg_catalog, pg_temp;

DO $$
DECLARE
    function record;
    admin name;
    callable CONSTANT text[] := ARRAY['guestly_sync', 'guestly_retry_failed', 'guestly_preview', 'guestly_attach', 'guestly_detach',
        'guestly_arm', 'guestly_backfill', 'guestly_pause', 'guestly_resume', 'guestly_timeline', 'guestly_test_alert', 'guestly_doctor', 'status_row', 'backfill_row'];
    grantee record;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'guestly_admin') THEN
        BEGIN
            CREATE ROLE guestly_admin NOLOGIN;
            COMMENT ON ROLE guestly_admin IS 'may call the functions of guestly_sync and read guestly.status, queue and attempts';
        EXCEPTION WHEN insufficient_privilege THEN
            NULL; -- Somebody who may make roles can make it later; the grants below then have to be given by hand.
        END;
    END IF;
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

-- The first of `bookings` on the search path of whoever runs CREATE EXTENSION; the script itself runs under another path.
DO $$
DECLARE
    own_path CONSTANT text := pg_catalog.current_setting('search_path');
    own_level CONSTANT text := pg_catalog.current_setting('client_min_messages');
    found pg_catalog.regclass;
BEGIN
    PERFORM pg_catalog.set_config('search_path', coalesce(guestly.caller_search_path(),
        (SELECT s.reset_val FROM pg_catalog.pg_settings s WHERE s.name = 'search_path')), true);
    found := pg_catalog.to_regclass('bookings');
    PERFORM pg_catalog.set_config('search_path', own_path, true);
    -- Extension scripts silence notices.
    PERFORM pg_catalog.set_config('client_min_messages', 'notice', true);
    IF found IS NOT NULL THEN
        PERFORM @extschema@.guestly_attach(found);
    ELSE
        RAISE NOTICE 'guestly_sync: no table bookings on the search path; attach one later with SELECT guestly_attach(''your_table'')';
    END IF;
    IF NOT guestly.is_preloaded() THEN
        RAISE WARNING 'guestly_sync is not loaded at server start: bookings are queued, and nothing is sent'
            USING HINT = pg_catalog.format('Add it to shared_preload_libraries in postgresql.conf (now %L) and restart the server.',
                                           pg_catalog.current_setting('shared_preload_libraries'));
    END IF;
    PERFORM pg_catalog.set_config('client_min_messages', own_level, true);
END $$;
