-- May this server send? Paused; armed here and nowhere else; version.
SELECT EXISTS (SELECT FROM guestly.pause), guestly.is_armed(),
       (SELECT e.extversion FROM pg_catalog.pg_extension e WHERE e.extname = 'guestly_sync')
