-- Payment statuses that meant paid when it was last looked at what was paid before, in lower case.
SELECT a.paid_statuses_seen FROM guestly.attachment a
