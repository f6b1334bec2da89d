-- Whether anything waits for changes/drain.sql, which costs as much as all else while there is nothing.
SELECT EXISTS (SELECT FROM guestly.changes)
