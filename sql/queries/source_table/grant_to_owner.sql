-- Lets the present owner of the bookings read the tables of the sweep: the trigger let_owner_read grants the rights.
UPDATE guestly.attachment SET bookings = bookings
