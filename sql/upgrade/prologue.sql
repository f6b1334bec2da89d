-- Other roles may have created operators in the extension's schema: from here on every name is in pg_catalog or qualified.
SET LOCAL search_path = pg_catalog, pg_temp;

-- A function that is not part of the extension could match a call better than the extension's own.
DO $$
DECLARE
    foreign_function text;
BEGIN
    SELECT pg_catalog.min(p.oid::pg_catalog.regprocedure::text) INTO foreign_function FROM pg_catalog.pg_proc p
    WHERE p.pronamespace = 'guestly'::pg_catalog.regnamespace AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_depend d
        WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid AND d.deptype = 'e');
    IF foreign_function IS NOT NULL THEN
        RAISE EXCEPTION 'function % is not part of guestly_sync, but could be called instead of one that is', foreign_function
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Find out who created it, then drop it.';
    END IF;
END $$;
