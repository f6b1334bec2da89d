-- From 0.2.1 to 0.3.0: columns that only the worker and the functions use are renamed to standard terms. Tables, and columns that the new
-- library needs before this script has run, keep their names.
-- not in an upgrade: DO $$ BEGIN IF pg_catalog.getdatabaseencoding()

-- A sale waits for these locks only as long as this script: behind a long transaction the update is refused, and can be repeated.
SET LOCAL lock_timeout = '5s';
LOCK TABLE guestly.queue, guestly.changes IN ACCESS EXCLUSIVE MODE;

ALTER TABLE guestly.attachment RENAME COLUMN paid_words TO paid_statuses_seen;

ALTER TABLE guestly.queue RENAME COLUMN look_up_first TO verify_first;
ALTER TABLE guestly.queue RENAME COLUMN claim TO claim_id;
ALTER TABLE guestly.queue RENAME COLUMN code TO confirmation_code;
ALTER TABLE guestly.queue RENAME COLUMN doubt_since TO uncertain_since;
ALTER TABLE guestly.queue RENAME COLUMN creates TO unconfirmed_creates;
ALTER TABLE guestly.queue RENAME COLUMN verdict TO pending_refusal;
ALTER TABLE guestly.queue RENAME COLUMN home TO queued_in;

ALTER INDEX guestly.reservations_ahead RENAME TO reservations_upcoming;

ALTER TABLE guestly.worker RENAME COLUMN held_until TO paused_until;
ALTER TABLE guestly.worker RENAME COLUMN quota TO rate_levels;
ALTER TABLE guestly.worker RENAME COLUMN quota_at TO rate_levels_at;
ALTER TABLE guestly.worker RENAME COLUMN credentials_mark TO credentials_fingerprint;
ALTER TABLE guestly.worker RENAME COLUMN timeline TO wal_timeline;
ALTER TABLE guestly.worker RENAME COLUMN mail_since TO mail_started_at;

ALTER TABLE guestly.alerts RENAME COLUMN settled_at TO closed_at;

ALTER TABLE guestly.token RENAME COLUMN mark TO credentials_fingerprint;
ALTER TABLE guestly.token_requests RENAME COLUMN mark TO credentials_fingerprint;

-- [data]

-- The trigger of this table grants the owner of the bookings table SELECT on guestly.known_bookings.
UPDATE guestly.attachment SET bookings = bookings;
