-- May this server send? Paused; armed here and nowhere else ($1 to $3: this installation); version. The condition of guestly.is_armed() is
-- written out: a function with a search path of its own is not inlined, and this runs several times in each cycle.
SELECT EXISTS (SELECT FROM guestly.pause) AS paused,
       (SELECT bool_and((i.system_identifier, i.database_oid, i.environment) = ($1, $2, $3)) FROM guestly.installations i) AS armed,
       (SELECT e.extversion FROM pg_catalog.pg_extension e WHERE e.extname = 'guestly_sync') AS version
