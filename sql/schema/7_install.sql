-- What CREATE EXTENSION does once everything is there: it allows this server to send, and attaches the table of bookings. Upgrade
-- scripts do not repeat this file.

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
