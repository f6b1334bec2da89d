-- Number of bookings that are queued and not failed.
SELECT count(*) FROM guestly.queue q WHERE q.state <> 'failed'
