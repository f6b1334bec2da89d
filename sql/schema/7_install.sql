-- The last steps of CREATE EXTENSION: allow this server to send, and attach the bookings table. Not part of upgrade scripts.

INSERT INTO guestly.installations (system_identifier, database_oid, environment)
SELECT system_identifier, database_oid, environment FROM guestly.this_installation();

-- Attaches the table `bookings` on the caller's search path; the script itself runs with another one. Attaches nothing if the choice is
-- ambiguous: any role that can create schemas could have placed a table before the real one, in a schema named like the caller.
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
    -- Extension scripts run with client_min_messages = warning.
    PERFORM pg_catalog.set_config('client_min_messages', 'notice', true);
    SELECT pg_catalog.string_agg(pg_catalog.format('%s (of %I)', c.name, c.owner), ', ') AS names, pg_catalog.count(*) AS tables,
           pg_catalog.min(c.relation::oid)::pg_catalog.regclass AS relation, pg_catalog.min(c.name) AS name,
           pg_catalog.min(c.owner) AS owner, pg_catalog.bool_and(c.is_trusted) AS is_trusted
    INTO found FROM guestly.candidates(schemas) c;
    IF found.tables = 1 AND found.is_trusted THEN
        RAISE NOTICE 'guestly_sync: attaching table %, owned by %', found.name, found.owner;
        PERFORM @extschema@.guestly_attach(found.relation);
    ELSIF found.tables = 1 THEN
        RAISE NOTICE 'guestly_sync: table % was not attached: its owner % owns neither this database nor a table in the schema public, or one of its partitions or children has a different owner',
                found.name, found.owner
            USING HINT = pg_catalog.format('If it is your bookings table: SELECT %s.guestly_attach(%L);', '@extschema@', found.name);
    ELSIF found.tables > 1 THEN
        RAISE NOTICE 'guestly_sync: no table was attached, because there are several tables bookings on the search path: %', found.names
            USING HINT = 'Attach the one with your bookings: SELECT @extschema@.guestly_attach(''<schema>.bookings'');';
    ELSE
        RAISE NOTICE 'guestly_sync: no table bookings on the search path; to attach one later: SELECT guestly_attach(''your_table'');';
    END IF;
    IF NOT guestly.is_preloaded() THEN
        RAISE WARNING 'guestly_sync is not loaded at server start: bookings are queued but not sent'
            USING HINT = pg_catalog.format('Add it to shared_preload_libraries in postgresql.conf (now %L) and restart the server.',
                                           guestly.preloaded_libraries());
    END IF;
    PERFORM pg_catalog.set_config('client_min_messages', own_level, true);
END $$;
