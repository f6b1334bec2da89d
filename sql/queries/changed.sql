-- Whether anything waits for absorb.sql, which costs as much as all else while there is nothing.
SELECT EXISTS (SELECT FROM guestly.changes)
