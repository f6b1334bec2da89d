-- The host's own migration, which some sites ran before they installed the extension: the five columns exist already,
-- and every old row is 'pending', whether paid or not. Loaded by the scenario tests after host.sql.

ALTER TABLE public.bookings
    ADD COLUMN guestly_reservation_id text,
    ADD COLUMN guestly_sync_status text DEFAULT 'pending'
        CHECK (guestly_sync_status IN ('pending', 'synced', 'failed')),
    ADD COLUMN guestly_sync_error text,
    ADD COLUMN guestly_synced_at timestamptz,
    ADD COLUMN guestly_sync_attempts integer DEFAULT 0;

CREATE INDEX idx_bookings_guestly_reservation_id ON public.bookings (guestly_reservation_id);
CREATE INDEX idx_bookings_guestly_sync_status ON public.bookings (guestly_sync_status);
CREATE INDEX idx_bookings_guestly_failed ON public.bookings (guestly_sync_status, guestly_sync_attempts)
    WHERE guestly_sync_status = 'failed';
