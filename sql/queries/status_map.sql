-- Every status.
SELECT booking_status, guestly_status FROM guestly.status_map
