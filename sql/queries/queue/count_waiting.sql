-- The number of bookings that wait.
SELECT count(*) FROM guestly.queue q WHERE q.state <> 'failed'
