-- Grants the current owner of the bookings table the privileges for the sweep, through the trigger let_owner_read.
UPDATE guestly.attachment SET bookings = bookings
