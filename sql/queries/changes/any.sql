-- Whether changes/drain.sql has anything to do; it costs as much as the rest of a cycle.
SELECT EXISTS (SELECT FROM guestly.changes)
