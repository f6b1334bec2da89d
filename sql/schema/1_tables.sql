-- Schema `guestly`: all tables of the extension. The other files add functions, views and privileges.

DO $$
BEGIN
    IF pg_catalog.getdatabaseencoding() <> 'UTF8' THEN
        RAISE EXCEPTION 'guestly_sync requires a database with encoding UTF8, but this one has %', pg_catalog.getdatabaseencoding()
            USING ERRCODE = 'feature_not_supported',
                  HINT = 'Create the database with ENCODING ''UTF8'' TEMPLATE template0.';
    END IF;
END $$;

CREATE SCHEMA guestly;
COMMENT ON SCHEMA guestly IS 'guestly_sync: queue, configuration and state of the synchronization with Guestly';

CREATE TABLE guestly.attachment (
    bookings       text        NOT NULL,
    key_column     text        NOT NULL,
    key_type       text        NOT NULL,
    payment_column text        NOT NULL,
    arrival_column text,
    watched        text[]      NOT NULL DEFAULT '{}',
    attached_at    timestamptz NOT NULL DEFAULT pg_catalog.now(),
    paid_statuses_seen     text[]      NOT NULL DEFAULT '{}'
);
CREATE UNIQUE INDEX attachment_one ON guestly.attachment ((true));
COMMENT ON TABLE guestly.attachment IS 'the bookings table, at most one row; bookings paid before attached_at are not sent automatically';
COMMENT ON COLUMN guestly.attachment.bookings IS 'schema-qualified and quoted, as in SQL';
COMMENT ON COLUMN guestly.attachment.watched IS 'columns that the expressions in guestly.field_map read; changes to other columns are ignored';
COMMENT ON COLUMN guestly.attachment.paid_statuses_seen IS 'payment statuses that have meant paid since then, in lower case; bookings that had a status before it was added count as paid before';
ALTER TABLE guestly.attachment ADD COLUMN owner name;
COMMENT ON COLUMN guestly.attachment.owner IS 'owner of the bookings table to whom the privileges for the sweep and the triggers were last granted';
COMMENT ON COLUMN guestly.attachment.attached_at IS 'when the table was attached; part of a dump. guestly.installations decides whether this server may send';

-- The states are a domain, and the queue has no CHECK constraint: PostgreSQL loads and plans the constraints of a table again in
-- every statement, which took a third of the time that a sale spends on its row.
CREATE DOMAIN guestly.queue_state AS text CONSTRAINT queue_state_known CHECK (VALUE IN ('ready', 'sending', 'unknown', 'waiting', 'failed'));
COMMENT ON DOMAIN guestly.queue_state IS 'state of a row in guestly.queue';
CREATE TABLE guestly.queue (
    booking_id    text        PRIMARY KEY,
    state         guestly.queue_state NOT NULL DEFAULT 'ready',
    attempts      integer     NOT NULL DEFAULT 0,
    due_at        timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    arrival       date,
    queued_at     timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    force         boolean     NOT NULL DEFAULT false,
    verify_first boolean     NOT NULL DEFAULT false,
    operation     text,
    claim_id      bigint,
    confirmation_code text,
    uncertain_since   timestamptz,
    look_ups      integer     NOT NULL DEFAULT 0,
    unconfirmed_creates       integer     NOT NULL DEFAULT 0,
    pending_refusal       text,
    error_class   text,
    error         text,
    backfill      timestamptz
);
-- New sales are sent before changes to existing reservations.
ALTER TABLE guestly.queue ADD COLUMN follow_up boolean NOT NULL DEFAULT false;
-- The oid of the table in which the row was queued. It differs in a restored row, because the restored table has another oid.
ALTER TABLE guestly.queue ADD COLUMN queued_in oid NOT NULL DEFAULT 'guestly.queue'::pg_catalog.regclass::pg_catalog.oid;
ALTER TABLE guestly.queue ADD COLUMN failed_reads integer NOT NULL DEFAULT 0;
-- No other indexes, because every sale pays for each of them. The age of the oldest booking (read once per poll_interval) and the
-- failed bookings (read on request) are found by a sequential scan.
-- For the two parts of a claim (ready rows: new sales first, then the nearest arrival; rows that are due again) and for the next due time.
CREATE INDEX queue_ready ON guestly.queue (follow_up, arrival NULLS FIRST, queued_at) WHERE state = 'ready';
CREATE INDEX queue_timed ON guestly.queue (due_at) WHERE state IN ('waiting', 'unknown');
-- For the claims of a dead worker.
CREATE INDEX queue_claimed ON guestly.queue (claim_id) WHERE claim_id IS NOT NULL;
-- Rows change state several times within seconds: leave free space on each page, and vacuum early.
ALTER TABLE guestly.queue SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
COMMENT ON TABLE guestly.queue IS 'bookings to be processed; the transaction that records the final outcome deletes the row';
COMMENT ON COLUMN guestly.queue.state IS 'ready: can be sent now; sending: claimed, its call is in flight or prefetched; unknown: a create may have taken effect, look-ups decide; waiting: tried, due again at due_at; failed: needs manual action';
COMMENT ON COLUMN guestly.queue.attempts IS 'attempts since the booking was last requeued; look-ups and waiting do not count';
COMMENT ON COLUMN guestly.queue.verify_first IS 'Guestly may already have the booking (an old booking, a copy, a retry): look it up before creating it';
COMMENT ON COLUMN guestly.queue.claim_id IS 'fencing token: an outcome is written only if this is still the claim of its call';
COMMENT ON COLUMN guestly.queue.confirmation_code IS 'confirmation code of the first create; every later call uses it, even if the booking''s reference changes';
COMMENT ON COLUMN guestly.queue.uncertain_since IS 'since when a create of unknown outcome may be taking effect, or a reservation is not found; decided only after guestly_sync.settle has passed';
COMMENT ON COLUMN guestly.queue.look_ups IS 'look-ups since uncertain_since that found nothing; for an existing reservation, changes that did not take effect';
COMMENT ON COLUMN guestly.queue.failed_reads IS 'consecutive look-ups or read-backs without a readable answer; not counted during an outage';
COMMENT ON COLUMN guestly.queue.pending_refusal IS 'error class of a refusal that is not confirmed yet: the booking fails with it if a look-up finds nothing';
COMMENT ON COLUMN guestly.queue.follow_up IS 'queued for a change to an existing reservation; sent after new reservations';
COMMENT ON COLUMN guestly.queue.queued_in IS 'oid of the table in which the row was queued or last claimed; differs in a restored row, which is looked up before it is sent';
COMMENT ON COLUMN guestly.queue.unconfirmed_creates IS 'creates of this booking whose outcome is unknown';
COMMENT ON COLUMN guestly.queue.backfill IS 'the guestly_backfill() call that queued the booking: key of guestly.backfills';

CREATE TABLE guestly.reservations (
    booking_id        text        PRIMARY KEY,
    reservation_id    text        NOT NULL,
    confirmation_code text        NOT NULL,
    status            text,
    listing_id        text,
    check_in          date,
    check_out         date,
    adults            integer,
    children          integer,
    infants           integer,
    pets              integer,
    notes             text,
    payment           text        CHECK (payment IN ('due', 'absent', 'sent', 'recorded')),
    total             numeric,
    paid              numeric,
    adopted           boolean     NOT NULL DEFAULT false,
    verified          boolean     NOT NULL DEFAULT false,
    ended             boolean,
    changed_at        timestamptz,
    recorded_at       timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
-- Finds the booking of a reservation.
CREATE INDEX reservations_by_id ON guestly.reservations (reservation_id);
-- Upcoming stays, which are compared with the bookings once a day.
CREATE INDEX reservations_upcoming ON guestly.reservations (check_out, booking_id) WHERE verified;
COMMENT ON TABLE guestly.reservations IS 'last confirmed state of each booking''s reservation in Guestly; ids that begin with test- were never sent';
COMMENT ON COLUMN guestly.reservations.adopted IS 'found by a look-up after an unknown outcome, not created again';
COMMENT ON COLUMN guestly.reservations.notes IS 'fingerprint of the notes that were written; empty if none were written';
COMMENT ON COLUMN guestly.reservations.payment IS 'due: to be recorded; absent: Guestly does not list it; sent: may have been recorded; recorded; null: not recorded by this extension';
COMMENT ON COLUMN guestly.reservations.total IS 'total that Guestly reported last, in major currency units; null if no answer contained it';
COMMENT ON COLUMN guestly.reservations.paid IS 'amount that the guest had paid when the total was reported';
-- For the number of price differences in guestly.status.
CREATE INDEX reservations_price ON guestly.reservations (booking_id) WHERE total <> paid;
COMMENT ON COLUMN guestly.reservations.verified IS 'known to belong to the booking: created by this extension, or seen with the booking''s id as its origin; no other reservation is ever changed';
COMMENT ON COLUMN guestly.reservations.ended IS 'cancelled by this extension: if the booking becomes active again, it gets a new reservation';
COMMENT ON COLUMN guestly.reservations.changed_at IS 'last known create or change; the reservation is not changed again until guestly_sync.settle has passed';

CREATE TABLE guestly.changes (
    booking_id text        NOT NULL,
    arrival    date,
    changed_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
-- Filled by changes to bookings and emptied by the worker almost at once.
ALTER TABLE guestly.changes SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
COMMENT ON TABLE guestly.changes IS 'known bookings whose data changed; the worker queues those that may differ from Guestly';

CREATE TABLE guestly.attempts (
    booking_id  text,
    attempt     integer     NOT NULL DEFAULT 0,
    operation   text        NOT NULL,
    started_at  timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    duration_ms integer,
    http_status integer,
    outcome     text        NOT NULL,
    error_class text,
    error       text,
    request_id  text
);
CREATE INDEX attempts_booking ON guestly.attempts (booking_id, started_at);
CREATE INDEX attempts_age ON guestly.attempts (started_at);
COMMENT ON TABLE guestly.attempts IS 'one row per call, without personal data, kept for guestly_sync.log_retention; booking_id is null for token requests and look-ups of guestly_doctor()';
COMMENT ON COLUMN guestly.attempts.request_id IS 'x-request-id of the answer: Guesty''s support needs it';

CREATE TABLE guestly.listings (
    property   text PRIMARY KEY CHECK (property <> ''),
    listing_id text NOT NULL CHECK (listing_id <> '')
);
COMMENT ON TABLE guestly.listings IS 'maps a property (slug or id) to a listing id in Guestly';

CREATE TABLE guestly.status_map (
    booking_status text PRIMARY KEY,
    guestly_status text NOT NULL CHECK (guestly_status IN
        ('inquiry', 'reserved', 'awaiting_payment', 'confirmed', 'canceled', 'closed', 'declined', 'expired'))
);
COMMENT ON TABLE guestly.status_map IS 'maps the status of a booking to the status of its reservation';

CREATE TABLE guestly.field_map (
    field      text PRIMARY KEY,
    expression text NOT NULL
);
COMMENT ON TABLE guestly.field_map IS 'SQL expressions over the booking row b, one per field; checked on write, evaluated as the owner of the bookings table';

CREATE TABLE guestly.old_bookings (
    booking_id text PRIMARY KEY
);
COMMENT ON TABLE guestly.old_bookings IS 'bookings that were paid before the table was attached: ignored by the triggers and the sweep, sent only by guestly_sync() or guestly_backfill()';

CREATE TABLE guestly.backfills (
    started_at timestamptz PRIMARY KEY,
    bookings   bigint      NOT NULL
);
COMMENT ON TABLE guestly.backfills IS 'one row per guestly_backfill() that queued bookings, with their number; used for the progress in guestly.status';

CREATE TABLE guestly.withdrawn (
    booking_id   text        PRIMARY KEY,
    withdrawn_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
COMMENT ON TABLE guestly.withdrawn IS 'paid bookings that were cancelled before they were sent: ignored by the sweep, sent only by guestly_sync()';

CREATE TABLE guestly.installations (
    system_identifier text        NOT NULL,
    database_oid      oid         NOT NULL,
    environment       text        NOT NULL DEFAULT '',
    armed_at          timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
COMMENT ON TABLE guestly.installations IS 'servers and databases that may send; a row of another server or database means that the database is a copy: sending is disabled until guestly_arm()';

CREATE TABLE guestly.pause (
    reason    text,
    paused_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
CREATE UNIQUE INDEX pause_one ON guestly.pause ((true));
COMMENT ON TABLE guestly.pause IS 'a row here stops sending: guestly_pause() inserts it, guestly_resume() deletes it';

CREATE TABLE guestly.worker (
    breaker              text        NOT NULL DEFAULT 'closed',
    breaker_since        timestamptz,
    paused_until         timestamptz,
    rate_levels          double precision[] NOT NULL DEFAULT '{}',
    rate_levels_at       timestamptz,
    last_success_at      timestamptz,
    last_error           text,
    last_error_at        timestamptz,
    credentials_error    text,
    credentials_error_at timestamptz,
    credentials_fingerprint     text,
    credentials_until    timestamptz,
    credentials_class    text,
    clock_skew_ms        bigint,
    wal_timeline         text,
    online_status        text,
    online_answer        text,
    online_at            timestamptz,
    mail_answer          text,
    mail_problem         text,
    tls_roots            text,
    tls_problem          text,
    mail_started_at           timestamptz,
    id                   boolean     PRIMARY KEY DEFAULT true CHECK (id)
);
INSERT INTO guestly.worker DEFAULT VALUES;
ALTER TABLE guestly.worker SET (fillfactor = 10);
COMMENT ON TABLE guestly.worker IS 'state of the worker that survives restarts; one row, not part of a dump';
COMMENT ON COLUMN guestly.worker.mail_problem IS 'error in the settings for alert mails, found without contacting the mail server';
COMMENT ON COLUMN guestly.worker.mail_started_at IS 'when the alert mail in progress was started; null: none is in progress';

CREATE TABLE guestly.alerts (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind       text        NOT NULL CHECK (kind IN ('booking_failed', 'dates_taken', 'stale', 'two_reservations', 'outage',
                                                    'recovered', 'credentials', 'token_cap', 'deleted', 'price_differs')),
    booking_id text,
    reference  text,
    arrival    date,
    cause      text        NOT NULL,
    sentence   text        NOT NULL,
    since      timestamptz,
    waiting    bigint,
    raised_at  timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    state      text        NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'sent', 'superseded', 'repeated', 'placed')),
    mail_key   text,
    closed_at timestamptz,
    answer     text
);
CREATE INDEX alerts_waiting ON guestly.alerts (id) WHERE state = 'waiting';
CREATE INDEX alerts_sent ON guestly.alerts (closed_at) WHERE state = 'sent';
CREATE INDEX alerts_cause ON guestly.alerts (kind, (coalesce(booking_id, '')), raised_at);
COMMENT ON TABLE guestly.alerts IS 'alerts and the state of their mails; without personal data';
COMMENT ON COLUMN guestly.alerts.state IS 'waiting: not mailed yet; sent; superseded: replaced by a later alert about the same thing; repeated: nothing new; placed: the booking succeeded before the mail was sent';
COMMENT ON COLUMN guestly.alerts.cause IS 'class and sentence with all numbers masked; the same cause is mailed once a day';
COMMENT ON COLUMN guestly.alerts.mail_key IS 'key of the mail that contains the alert and may have been accepted; a retry uses the same Message-ID';
COMMENT ON COLUMN guestly.alerts.answer IS 'last answer of the mail server';

CREATE TABLE guestly.token (
    access_token text        NOT NULL,
    fetched_at   timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    credentials_fingerprint text NOT NULL
);
CREATE UNIQUE INDEX token_one ON guestly.token ((true));
COMMENT ON TABLE guestly.token IS 'OAuth access token; readable only by the extension''s owner, never dumped';
COMMENT ON COLUMN guestly.token.credentials_fingerprint IS 'hash of the credentials and the address that the token was requested with';

CREATE TABLE guestly.token_requests (
    requested_at timestamptz NOT NULL,
    credentials_fingerprint text NOT NULL
);
CREATE INDEX token_requests_at ON guestly.token_requests (requested_at);
COMMENT ON TABLE guestly.token_requests IS 'written before each token request: Guesty issues five tokens per client id in 24 hours';

-- The only place that decides whether a booking is known. Queries filter by reason: the planner removes the branches that cannot
-- match, and looks up the booking by key in the others. Ordered by how often the sweep finds a match: most bookings were paid before.
CREATE VIEW guestly.known_bookings AS
SELECT q.booking_id, 'queued'::text AS reason FROM guestly.queue q
UNION ALL SELECT o.booking_id, 'paid_before' FROM guestly.old_bookings o
UNION ALL SELECT w.booking_id, 'withdrawn' FROM guestly.withdrawn w
UNION ALL SELECT r.booking_id, 'reservation' FROM guestly.reservations r WHERE r.reservation_id OPERATOR (pg_catalog.!~~) 'test-%'
UNION ALL SELECT t.booking_id, 'test_reservation' FROM guestly.reservations t WHERE t.reservation_id OPERATOR (pg_catalog.~~) 'test-%';
COMMENT ON VIEW guestly.known_bookings IS 'bookings that are known to the extension, one row per reason: queued, reservation, test_reservation, paid_before, withdrawn';
