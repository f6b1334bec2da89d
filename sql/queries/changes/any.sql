-- True if there is work for changes/drain.sql, which would be the most expensive statement of an idle cycle.
SELECT EXISTS (SELECT FROM guestly.changes)
