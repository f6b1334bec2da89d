-- Stores the references ($2) of the bookings of these alerts ($1 ids).
UPDATE guestly.alerts a SET reference = n.reference FROM unnest($1::bigint[], $2::text[]) AS n (id, reference) WHERE a.id = n.id
