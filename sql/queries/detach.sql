-- Detaches the table whose owner has called guestly_detach().
SELECT guestly.detach()
