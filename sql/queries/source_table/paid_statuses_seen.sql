-- The payment statuses that were taken into the baseline, in lower case.
SELECT a.paid_statuses_seen FROM guestly.attachment a
