-- Whoever may create objects in the extension's schema may have put operators there: from here on every name is the server's
-- own or has its schema.
SET LOCAL search_path = pg_catalog, pg_temp;

-- A function that is not the extension's could match a call better than the extension's own.
DO $$
DECLARE
    foreign_function text;
BEGIN
    SELECT pg_catalog.min(p.oid::pg_catalog.regprocedure::text) INTO foreign_function FROM pg_catalog.pg_proc p
    WHERE p.pronamespace = 'guestly'::pg_catalog.regnamespace AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_depend d
        WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid AND d.deptype = 'e');
    IF foreign_function IS NOT NULL THEN
        RAISE EXCEPTION 'the function % is not part of guestly_sync, and could be called in place of one that is', foreign_function
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'See who made it, and drop it.';
    END IF;
END $$;
