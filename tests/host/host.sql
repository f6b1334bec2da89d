-- The host application's current schema, with invented data: a website for holiday flats.
-- Loaded by the scenario tests and by tests/demo.sh; run it as a superuser in an empty database. It imitates Supabase:
-- the tables belong to a role that is not a superuser, bookings has row level security, and default privileges grant
-- everything in schema public to anon and authenticated, functions included.

DO $$
BEGIN
    -- Roles belong to the cluster, so they may exist already when a second database is set up.
    IF to_regrole('anon') IS NULL THEN CREATE ROLE anon NOLOGIN NOINHERIT; END IF;
    IF to_regrole('authenticated') IS NULL THEN CREATE ROLE authenticated NOLOGIN NOINHERIT; END IF;
    IF to_regrole('service_role') IS NULL THEN CREATE ROLE service_role NOLOGIN NOINHERIT BYPASSRLS; END IF;
    IF to_regrole('site_owner') IS NULL THEN CREATE ROLE site_owner LOGIN; END IF;
    EXECUTE format('ALTER DATABASE %I SET search_path = "$user", public, extensions', current_database());
END $$;

CREATE SCHEMA IF NOT EXISTS extensions;
CREATE EXTENSION IF NOT EXISTS "uuid-ossp" WITH SCHEMA extensions;

GRANT USAGE ON SCHEMA public, extensions TO anon, authenticated, service_role;
GRANT ALL ON SCHEMA public TO site_owner;
GRANT USAGE ON SCHEMA extensions TO site_owner;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON SEQUENCES TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON FUNCTIONS TO anon, authenticated, service_role;

CREATE TABLE public.properties (
    id uuid PRIMARY KEY DEFAULT extensions.uuid_generate_v4(),
    slug text NOT NULL UNIQUE,
    name text NOT NULL,
    address text,
    size integer,
    bedrooms integer,
    bathrooms integer,
    max_guests integer NOT NULL,
    base_price numeric(10,2) NOT NULL,
    cleaning_fee numeric(10,2) DEFAULT 0,
    pet_fee numeric(10,2) DEFAULT 0,
    weekly_discount numeric(5,2) DEFAULT 0,
    monthly_discount numeric(5,2) DEFAULT 0,
    min_stay integer DEFAULT 1,
    pet_friendly boolean DEFAULT false,
    amenities jsonb DEFAULT '[]',
    images jsonb DEFAULT '[]',
    coordinates jsonb,
    is_active boolean DEFAULT true,
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now()
);

CREATE TABLE public.bookings (
    id uuid PRIMARY KEY DEFAULT extensions.uuid_generate_v4(),
    booking_reference text NOT NULL UNIQUE,
    property_id uuid REFERENCES public.properties (id) ON DELETE CASCADE,
    guest_first_name text NOT NULL,
    guest_last_name text NOT NULL,
    guest_email text NOT NULL,
    guest_phone text NOT NULL,
    guest_country text NOT NULL,
    guest_company text,
    check_in_date date NOT NULL,
    check_out_date date NOT NULL,
    adults integer NOT NULL,
    children integer DEFAULT 0,
    infants integer DEFAULT 0,
    nights integer NOT NULL,
    base_price numeric(10,2) NOT NULL,
    cleaning_fee numeric(10,2) NOT NULL,
    discount numeric(10,2) DEFAULT 0,
    pet_fee numeric(10,2) DEFAULT 0,
    subtotal numeric(10,2) NOT NULL,
    vat numeric(10,2) NOT NULL,
    total numeric(10,2) NOT NULL,
    special_requests text,
    purpose_of_stay text,
    has_pet boolean DEFAULT false,
    early_checkin boolean DEFAULT false,
    late_checkout boolean DEFAULT false,
    payment_status text DEFAULT 'pending'
        CHECK (payment_status IN ('pending', 'processing', 'completed', 'failed', 'refunded')),
    payment_method text,
    stripe_payment_intent_id text,
    stripe_charge_id text,
    status text DEFAULT 'pending' CHECK (status IN ('pending', 'confirmed', 'cancelled', 'completed')),
    terms_accepted boolean DEFAULT false,
    privacy_accepted boolean DEFAULT false,
    marketing_consent boolean DEFAULT false,
    booking_source text DEFAULT 'website' CHECK (booking_source IN ('website', 'guestly', 'manual')),
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now(),
    confirmed_at timestamptz,
    cancelled_at timestamptz
);

CREATE INDEX idx_bookings_property_id ON public.bookings (property_id);
CREATE INDEX idx_bookings_guest_email ON public.bookings (guest_email);
CREATE INDEX idx_bookings_check_in_date ON public.bookings (check_in_date);
CREATE INDEX idx_bookings_check_out_date ON public.bookings (check_out_date);
CREATE INDEX idx_bookings_status ON public.bookings (status);
CREATE INDEX idx_bookings_payment_status ON public.bookings (payment_status);
CREATE INDEX idx_bookings_booking_reference ON public.bookings (booking_reference);
CREATE INDEX idx_bookings_created_at ON public.bookings (created_at);

ALTER TABLE public.properties OWNER TO site_owner;
ALTER TABLE public.bookings OWNER TO site_owner;

-- The site reads and writes as authenticated or service_role; a visitor (anon) may only insert an unpaid booking.
ALTER TABLE public.bookings ENABLE ROW LEVEL SECURITY;
CREATE POLICY bookings_of_the_site ON public.bookings TO authenticated USING (true) WITH CHECK (true);
CREATE POLICY bookings_from_visitors ON public.bookings FOR INSERT TO anon WITH CHECK (payment_status = 'pending');

INSERT INTO public.properties
    (slug, name, address, size, bedrooms, bathrooms, max_guests, base_price, cleaning_fee, pet_fee,
     weekly_discount, monthly_discount, min_stay, pet_friendly, amenities, coordinates)
VALUES
    ('canal-loft', 'Canal Loft', 'Musterufer 1, 10999 Berlin', 72, 2, 1, 4, 140.00, 60.00, 25.00,
     10, 20, 1, true, '["wifi", "kitchen", "washer"]', '{"lat": 52.49, "lng": 13.42}'),
    ('garden-flat', 'Garden Flat', 'Musterallee 22, 10435 Berlin', 55, 1, 1, 4, 110.00, 50.00, 0,
     8, 18, 1, false, '["wifi", "garden"]', '{"lat": 52.54, "lng": 13.41}'),
    ('roof-studio', 'Roof Studio', 'Musterplatz 3, 12047 Berlin', 48, 1, 1, 4, 95.50, 45.00, 20.00,
     5, 15, 1, true, '["wifi", "terrace", "lift"]', '{"lat": 52.48, "lng": 13.43}');

-- Functions that create invented bookings for tests, in a separate schema so that public contains only the host's objects.
CREATE SCHEMA sample;
CREATE SEQUENCE sample.booking_number;

-- Inserts `how_many` unpaid bookings of one to three nights, starting in thirty days, and returns their ids in order.
-- Bookings of one flat never overlap, not even across calls; some guests leave on the day when the next one arrives.
CREATE FUNCTION sample.make_bookings(how_many integer) RETURNS SETOF uuid
LANGUAGE sql SET search_path = public, extensions, pg_temp AS $$
    WITH numbered AS MATERIALIZED (
        SELECT nextval('sample.booking_number') - 1 AS n FROM generate_series(1, how_many)
    ), flats AS (
        SELECT p.*, row_number() OVER (ORDER BY slug) - 1 AS place, count(*) OVER () AS flats
        FROM properties p WHERE p.is_active
    ), stays AS (
        SELECT n, f.id AS property_id, f.base_price AS price, f.cleaning_fee AS cleaning,
               (1 + n % 3)::integer AS nights, (CURRENT_DATE + 30 + 3 * (n / f.flats)::integer) AS arrival,
               1 + (n % 4)::integer AS name_no
        FROM numbered JOIN flats f ON f.place = n % f.flats
    ), made AS (
        INSERT INTO bookings
            (booking_reference, property_id, guest_first_name, guest_last_name, guest_email, guest_phone,
             guest_country, check_in_date, check_out_date, adults, children, infants, nights, base_price,
             cleaning_fee, subtotal, vat, total, special_requests, purpose_of_stay, payment_method,
             stripe_payment_intent_id, terms_accepted, privacy_accepted)
        SELECT 'FLAT-' || lpad((n + 1)::text, greatest(6, length((n + 1)::text)), '0'), property_id,
               (ARRAY['Ada', 'Jürgen', 'Zoë', 'Наталья'])[name_no],
               (ARRAY['Example', 'O''Beispiel', '山田', 'Muster-Probe'])[name_no],
               'guest' || n + 1 || '@example.com', '+49 30 23125' || lpad((n % 1000)::text, 3, '0'),
               (ARRAY['DE', 'FR', 'JP', 'UA'])[name_no], arrival, arrival + nights,
               (1 + n % 2)::integer, (n % 3)::integer, (n % 2)::integer, nights, price * nights,
               cleaning, price * nights + cleaning, round((price * nights + cleaning) * 0.07, 2),
               price * nights + cleaning + round((price * nights + cleaning) * 0.07, 2),
               CASE WHEN n % 5 = 0 THEN 'Late arrival, about 22:00' END,
               CASE WHEN n % 2 = 0 THEN 'leisure' ELSE 'business' END, 'card', 'pi_sample_' || n + 1, true, true
        FROM stays ORDER BY n
        RETURNING id, stripe_payment_intent_id
    )
    SELECT id FROM made ORDER BY length(stripe_payment_intent_id), stripe_payment_intent_id
$$;

-- Does what the site's payment webhook does after a payment. Returns the number of rows found.
CREATE FUNCTION sample.payment_succeeded(intent text) RETURNS bigint
LANGUAGE sql SET search_path = public, extensions, pg_temp AS $$
    WITH paid AS (
        UPDATE bookings
        SET payment_status = 'completed', status = 'confirmed', confirmed_at = now(), updated_at = now(),
            stripe_charge_id = replace(intent, 'pi_', 'ch_')
        WHERE stripe_payment_intent_id = intent
        RETURNING 1
    )
    SELECT count(*) FROM paid
$$;

GRANT USAGE ON SCHEMA sample TO authenticated, service_role;
