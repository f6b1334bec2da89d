-- The schema `guestly`: every table of the extension. Functions, views and rights come after it.

DO $$
BEGIN
    IF pg_catalog.getdatabaseencoding() <> 'UTF8' THEN
        RAISE EXCEPTION 'guestly_sync needs a database with the encoding UTF8, this one has %', pg_catalog.getdatabaseencoding()
            USING ERRCODE = 'feature_not_supported',
                  HINT = 'Create the database with ENCODING ''UTF8'' TEMPLATE template0.';
    END IF;
END $$;

CREATE SCHEMA guestly;
COMMENT ON SCHEMA guestly IS 'guestly_sync: bookings on their way to Guestly (the Guesty Open API)';

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
COMMENT ON TABLE guestly.attachment IS 'the table of bookings, at most one row; bookings paid before attached_at are left alone';
COMMENT ON COLUMN guestly.attachment.bookings IS 'schema-qualified and quoted, as in SQL';
COMMENT ON COLUMN guestly.attachment.watched IS 'columns that the expressions of guestly.field_map read: changes of other columns queue nothing';
COMMENT ON COLUMN guestly.attachment.paid_statuses_seen IS 'payment statuses that were taken into the baseline, in lower case: bookings that had one of them when it was new count as paid before';
ALTER TABLE guestly.attachment ADD COLUMN owner name;
COMMENT ON COLUMN guestly.attachment.owner IS 'the owner of the table who was last given the rights that the sweep and the triggers need';
COMMENT ON COLUMN guestly.attachment.attached_at IS 'attached since: travels with a dump; guestly.installations says whether this server may send';

-- The states are a domain, and the queue has no CHECK constraint: PostgreSQL reads and plans the constraints of a table anew in each
-- statement, which cost a sale a third of what it pays for its row.
CREATE DOMAIN guestly.queue_state AS text CONSTRAINT queue_state_known CHECK (VALUE IN ('ready', 'sending', 'unknown', 'waiting', 'failed'));
COMMENT ON DOMAIN guestly.queue_state IS 'where a booking of guestly.queue stands';
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
-- New sales go before changes of existing reservations.
ALTER TABLE guestly.queue ADD COLUMN follow_up boolean NOT NULL DEFAULT false;
-- A restored row names the table that it came from, by an oid that is another one here.
ALTER TABLE guestly.queue ADD COLUMN queued_in oid NOT NULL DEFAULT 'guestly.queue'::pg_catalog.regclass::pg_catalog.oid;
ALTER TABLE guestly.queue ADD COLUMN failed_reads integer NOT NULL DEFAULT 0;
-- No more indexes than these, since each sale pays for each: since when the oldest waits, once in a poll_interval, and what failed, at a
-- person's wish, is found by reading the queue.
-- Both parts of a claim (rows that are ready, new sales and the nearest arrival first; rows that are due again) and the next due time.
CREATE INDEX queue_ready ON guestly.queue (follow_up, arrival NULLS FIRST, queued_at) WHERE state = 'ready';
CREATE INDEX queue_timed ON guestly.queue (due_at) WHERE state IN ('waiting', 'unknown');
-- Claims that a dead worker left behind.
CREATE INDEX queue_claimed ON guestly.queue (claim_id) WHERE claim_id IS NOT NULL;
-- Rows change state several times within seconds: room on the page for it, and an early vacuum.
ALTER TABLE guestly.queue SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
COMMENT ON TABLE guestly.queue IS 'bookings to be worked on; a finished one leaves with the transaction that records its outcome';
COMMENT ON COLUMN guestly.queue.state IS 'ready: may go now; sending: claimed, its call is in flight or among the next to go; unknown: a create may have taken effect, look-ups decide; waiting: tried, due again at due_at; failed: needs manual action';
COMMENT ON COLUMN guestly.queue.attempts IS 'attempts since it was last queued afresh; look-ups and waiting do not count';
COMMENT ON COLUMN guestly.queue.verify_first IS 'Guestly may have it already (an old booking, a copy, a retry): look it up before creating';
COMMENT ON COLUMN guestly.queue.claim_id IS 'fencing token: an outcome is written only while its row still has the claim of the call';
COMMENT ON COLUMN guestly.queue.confirmation_code IS 'the confirmation code of the first create; every later call uses it, even if the booking''s reference changes';
COMMENT ON COLUMN guestly.queue.uncertain_since IS 'since when a create of unknown outcome may be taking effect, or a reservation is not found; decided when guestly_sync.settle has passed';
COMMENT ON COLUMN guestly.queue.look_ups IS 'look-ups that found nothing since uncertain_since; for an existing reservation, changes that Guestly accepted but did not make';
COMMENT ON COLUMN guestly.queue.failed_reads IS 'look-ups or read-backs in a row that brought no readable answer; not counted during an outage';
COMMENT ON COLUMN guestly.queue.pending_refusal IS 'a refusal that a look-up must confirm: the class it fails with if nothing is found';
COMMENT ON COLUMN guestly.queue.follow_up IS 'queued for a change of an existing reservation: goes after new sales';
COMMENT ON COLUMN guestly.queue.queued_in IS 'the table in which it was queued or last claimed: a restored row names another one, and is looked up first';
COMMENT ON COLUMN guestly.queue.unconfirmed_creates IS 'creates of this booking whose outcome never became known';
COMMENT ON COLUMN guestly.queue.backfill IS 'the guestly_backfill() that queued it: its row of guestly.backfills';

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
-- The booking of a reservation that an answer names.
CREATE INDEX reservations_by_id ON guestly.reservations (reservation_id);
-- Future stays, which are compared with their bookings once a day.
CREATE INDEX reservations_upcoming ON guestly.reservations (check_out, booking_id) WHERE verified;
COMMENT ON TABLE guestly.reservations IS 'the reservation of each booking: the last confirmed value of each aspect; ids that begin with test- were never sent';
COMMENT ON COLUMN guestly.reservations.adopted IS 'found by a look-up after an unknown outcome, instead of being created twice';
COMMENT ON COLUMN guestly.reservations.notes IS 'fingerprint of the notes that we wrote, empty if we wrote none';
COMMENT ON COLUMN guestly.reservations.payment IS 'due: to be recorded; absent: not in Guestly''s list; sent: may have been recorded; recorded; null: not recorded from here';
COMMENT ON COLUMN guestly.reservations.total IS 'the total that Guestly reported last, in major units; null if no answer had it';
COMMENT ON COLUMN guestly.reservations.paid IS 'the amount that the guest had paid when the total was reported';
-- What guestly.status counts.
CREATE INDEX reservations_price ON guestly.reservations (booking_id) WHERE total <> paid;
COMMENT ON COLUMN guestly.reservations.verified IS 'known to be ours: created by us, or shown with the booking''s id as its origin; no other reservation is ever changed';
COMMENT ON COLUMN guestly.reservations.ended IS 'cancelled by us: a booking that becomes active again gets a new reservation';
COMMENT ON COLUMN guestly.reservations.changed_at IS 'when it was last created or changed, as far as known: not changed again before guestly_sync.settle has passed';

CREATE TABLE guestly.changes (
    booking_id text        NOT NULL,
    arrival    date,
    changed_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
-- Filled by sales and emptied by the worker within moments.
ALTER TABLE guestly.changes SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
COMMENT ON TABLE guestly.changes IS 'known bookings whose data changed: the worker compares them with Guestly';

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
COMMENT ON TABLE guestly.attempts IS 'one row per call, without personal data, kept for guestly_sync.log_retention; booking_id is null for token requests and for the doctor''s look-ups';
COMMENT ON COLUMN guestly.attempts.request_id IS 'x-request-id of the answer: Guesty''s support asks for it';

CREATE TABLE guestly.listings (
    property   text PRIMARY KEY CHECK (property <> ''),
    listing_id text NOT NULL CHECK (listing_id <> '')
);
COMMENT ON TABLE guestly.listings IS 'the host''s property (slug or id) to Guestly''s listing id';

CREATE TABLE guestly.status_map (
    booking_status text PRIMARY KEY,
    guestly_status text NOT NULL CHECK (guestly_status IN
        ('inquiry', 'reserved', 'awaiting_payment', 'confirmed', 'canceled', 'closed', 'declined', 'expired'))
);
COMMENT ON TABLE guestly.status_map IS 'bookings.status to the status of the reservation';

CREATE TABLE guestly.field_map (
    field      text PRIMARY KEY,
    expression text NOT NULL
);
COMMENT ON TABLE guestly.field_map IS 'SQL over the booking row b, one expression per field; checked when written, evaluated as the owner of the bookings table';

CREATE TABLE guestly.old_bookings (
    booking_id text PRIMARY KEY
);
COMMENT ON TABLE guestly.old_bookings IS 'bookings that were paid before the attachment: never sent by a trigger or the sweep, only by guestly_sync or guestly_backfill';

CREATE TABLE guestly.backfills (
    started_at timestamptz PRIMARY KEY,
    bookings   bigint      NOT NULL
);
COMMENT ON TABLE guestly.backfills IS 'one row per guestly_backfill() that queued bookings, and how many: what guestly.status measures progress by';

CREATE TABLE guestly.withdrawn (
    booking_id   text        PRIMARY KEY,
    withdrawn_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
COMMENT ON TABLE guestly.withdrawn IS 'paid bookings that were cancelled before they were sent: the sweep skips them, guestly_sync sends them';

CREATE TABLE guestly.installations (
    system_identifier text        NOT NULL,
    database_oid      oid         NOT NULL,
    environment       text        NOT NULL DEFAULT '',
    armed_at          timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
COMMENT ON TABLE guestly.installations IS 'the servers and databases that may send; if this one is not among them, the database is a copy and sends nothing until guestly_arm()';

CREATE TABLE guestly.pause (
    reason    text,
    paused_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
CREATE UNIQUE INDEX pause_one ON guestly.pause ((true));
COMMENT ON TABLE guestly.pause IS 'a row here stops sending: guestly_pause() writes it, guestly_resume() deletes it';

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
COMMENT ON TABLE guestly.worker IS 'the state that the worker of this database saves for its successor; one row, belongs to this server';
COMMENT ON COLUMN guestly.worker.mail_problem IS 'the problem with the mail settings, found before any mail is sent';
COMMENT ON COLUMN guestly.worker.mail_started_at IS 'since when an alert mail is being sent; null: none is';

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
COMMENT ON TABLE guestly.alerts IS 'alerts that wait to be mailed, and what became of them; without personal data';
COMMENT ON COLUMN guestly.alerts.state IS 'waiting for a mail; sent; superseded by a later one about the same thing; repeated: it says nothing new; placed: the booking got through before the mail';
COMMENT ON COLUMN guestly.alerts.cause IS 'class and sentence with the numbers removed: the same cause is mailed once a day';
COMMENT ON COLUMN guestly.alerts.mail_key IS 'the mail that contains it and may have been accepted; the same mail is sent again under the same Message-ID';
COMMENT ON COLUMN guestly.alerts.answer IS 'the last answer of the mail server';

CREATE TABLE guestly.token (
    access_token text        NOT NULL,
    fetched_at   timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    credentials_fingerprint text NOT NULL
);
CREATE UNIQUE INDEX token_one ON guestly.token ((true));
COMMENT ON TABLE guestly.token IS 'the OAuth access token; readable by the extension''s owner only, never dumped';
COMMENT ON COLUMN guestly.token.credentials_fingerprint IS 'hash of the credentials and the address it was fetched with';

CREATE TABLE guestly.token_requests (
    requested_at timestamptz NOT NULL,
    credentials_fingerprint text NOT NULL
);
CREATE INDEX token_requests_at ON guestly.token_requests (requested_at);
COMMENT ON TABLE guestly.token_requests IS 'written before each token request: Guesty issues five tokens in 24 hours to a client id';

-- Every question whether a booking is known goes here. A caller names the reasons that count: the planner drops the parts that give
-- others, and looks the booking up by key in the rest. Most bookings that the sweep leaves out were paid before.
CREATE VIEW guestly.known_bookings AS
SELECT q.booking_id, 'queued'::text AS reason FROM guestly.queue q
UNION ALL SELECT o.booking_id, 'paid_before' FROM guestly.old_bookings o
UNION ALL SELECT w.booking_id, 'withdrawn' FROM guestly.withdrawn w
UNION ALL SELECT r.booking_id, 'reservation' FROM guestly.reservations r WHERE r.reservation_id OPERATOR (pg_catalog.!~~) 'test-%'
UNION ALL SELECT t.booking_id, 'test_reservation' FROM guestly.reservations t WHERE t.reservation_id OPERATOR (pg_catalog.~~) 'test-%';
COMMENT ON VIEW guestly.known_bookings IS 'the bookings that the extension knows, one row per reason: queued, reservation, test_reservation, paid_before, withdrawn';
