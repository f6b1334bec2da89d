-- Payment statuses that meant paid when the baseline was last recorded, in lower case.
SELECT a.paid_statuses_seen FROM guestly.attachment a
