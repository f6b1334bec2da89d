-- May this server send? Paused; armed here ($1 system identifier, $2 database, $3 environment) and nowhere else; version.
SELECT EXISTS (SELECT FROM guestly.pause),
       coalesce((SELECT pg_catalog.bool_and(i.system_identifier = $1 AND i.database_oid = $2 AND i.environment = $3)
                 FROM guestly.installations i), false),
       (SELECT e.extversion FROM pg_catalog.pg_extension e WHERE e.extname = 'guestly_sync')
