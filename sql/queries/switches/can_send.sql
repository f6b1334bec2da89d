-- Whether this server may send: paused; armed only for this installation ($1 to $3); version. Repeats the condition of
-- guestly.is_armed(), because a function with its own search path is not inlined and this runs several times per cycle.
SELECT EXISTS (SELECT FROM guestly.pause) AS paused,
       (SELECT bool_and((i.system_identifier, i.database_oid, i.environment) = ($1, $2, $3)) FROM guestly.installations i) AS armed,
       (SELECT e.extversion FROM pg_catalog.pg_extension e WHERE e.extname = 'guestly_sync') AS version
