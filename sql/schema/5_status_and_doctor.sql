-- For administrators: guestly.status (one row) and guestly_doctor().

CREATE FUNCTION guestly.status_row() RETURNS TABLE (
    worker_pid integer, worker_since timestamptz, version text, enabled boolean, test_mode boolean, armed boolean,
    paused boolean, pause_reason text, breaker text, breaker_since timestamptz, held_until timestamptz,
    credentials_error text, ready bigint, sending bigint, unknown bigint, waiting bigint, failed bigint,
    oldest_waiting_since timestamptz, last_success_at timestamptz, last_error text, last_error_at timestamptz,
    tokens_24h bigint, token_expires_at timestamptz, quota_second double precision, quota_minute double precision,
    quota_hour double precision, clock_skew_ms bigint, price_differences bigint)
LANGUAGE sql STABLE SECURITY DEFINER ROWS 1 SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
    SELECT l.pid, l.since, guestly.library_version(), (s ->> 'enabled')::boolean, (s ->> 'test_mode')::boolean, guestly.is_armed(),
           p.paused_at IS NOT NULL, p.reason, coalesce(w.breaker, 'closed'), w.breaker_since, w.paused_until, w.credentials_error,
           q.ready, q.sending, q.unknown, q.waiting, q.failed, q.oldest, w.last_success_at, w.last_error, w.last_error_at,
           (SELECT count(*) FROM guestly.token_requests t WHERE t.requested_at > clock_timestamp() - interval '24 hours'),
           (SELECT t.expires_at FROM guestly.token t), w.rate_levels[1], w.rate_levels[2], w.rate_levels[3], w.clock_skew_ms,
           (SELECT count(*) FROM guestly.reservations r WHERE r.total <> r.paid)
    FROM guestly.setting_values() s
    CROSS JOIN (SELECT count(*) FILTER (WHERE state = 'ready') AS ready, count(*) FILTER (WHERE state = 'sending') AS sending,
                       count(*) FILTER (WHERE state = 'unknown') AS unknown, count(*) FILTER (WHERE state = 'waiting') AS waiting,
                       count(*) FILTER (WHERE state = 'failed') AS failed,
                       min(queued_at) FILTER (WHERE state <> 'failed') AS oldest
                FROM guestly.queue) q
    LEFT JOIN guestly.live_worker() l ON true
    LEFT JOIN guestly.worker w ON true
    LEFT JOIN guestly.pause p ON true
$$;

-- Backfills in progress or, if there are none, the last one: bookings still queued, and bookings in total.
CREATE FUNCTION guestly.backfill_row() RETURNS TABLE (backfill_left bigint, backfill_total bigint)
LANGUAGE sql STABLE SECURITY DEFINER ROWS 1 SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
    SELECT q.waiting, (SELECT coalesce(sum(b.bookings), 0)::bigint FROM guestly.backfills b
                       WHERE b.started_at >= coalesce(q.since, (SELECT max(l.started_at) FROM guestly.backfills l)))
    FROM (SELECT count(*) AS waiting, min(backfill) AS since FROM guestly.queue WHERE backfill IS NOT NULL AND state <> 'failed') q
$$;

CREATE VIEW guestly.status AS SELECT * FROM guestly.status_row() CROSS JOIN guestly.backfill_row();
COMMENT ON VIEW guestly.status IS 'one row: the worker, whether it may send, length and age of the queue, rate limits and circuit breaker, last success and last error';

-- True if host code in the worker does not end, or if a booking or the sweep was postponed because it did not. The doctor then does not
-- run host code itself, so that it returns. Code that has just started gets one second.
CREATE FUNCTION guestly.host_code_hangs() RETURNS boolean
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN EXISTS (SELECT FROM guestly.queue q WHERE q.error_class = 'internal' AND q.error LIKE '%code of the table%did not end within %')
                     OR guestly.sweep_stopped_at() IS NOT NULL THEN true
                WHEN NOT EXISTS (SELECT FROM guestly.host_code()) THEN false
                WHEN (SELECT h.since < clock_timestamp() - interval '1 s' FROM guestly.host_code() h) THEN true
                ELSE (SELECT true FROM pg_sleep(1.1)) AND EXISTS (SELECT FROM guestly.host_code() h WHERE h.since < clock_timestamp() - interval '1 s') END
$$;

-- The doctor's rows about host code that runs in the worker: triggers, mapping expressions and the sweep.
CREATE FUNCTION guestly.doctor_of_host_code(attached regclass) RETURNS TABLE (check_name text, status text, detail text, fix text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    code CONSTANT text := format('SELECT tgname, tgfoid::regproc FROM pg_trigger WHERE tgrelid = %L::regclass AND NOT tgisinternal AND tgname NOT LIKE ''guestly\_%%''; SELECT field, expression FROM guestly.field_map;', attached);
BEGIN
    RETURN QUERY SELECT 'host code', CASE WHEN h.pid IS NOT NULL THEN 'fail' WHEN q.waiting + q.failed > 0 THEN 'warn' ELSE 'ok' END,
        CASE WHEN h.pid IS NOT NULL
                 THEN concat_ws(' ', format('process %s has been running code of table %s since %s', h.pid, attached, h.since), 'for booking ' || h.booking_id)
             WHEN q.waiting + q.failed > 0
                 THEN concat_ws('; ', CASE WHEN q.waiting > 0 THEN format('bookings postponed because code of table %s did not end in time: %s', attached, q.waiting) END,
                                CASE WHEN q.failed > 0 THEN format('bookings failed because code of table %s did not end in time: %s', attached, q.failed) END)
             ELSE 'triggers and mapping expressions end in time' END,
        CASE WHEN h.pid IS NOT NULL
                 THEN format('SELECT pg_terminate_backend(%s); %s -- correct the trigger or the mapping that does not end', h.pid, code)
             WHEN q.waiting + q.failed > 0
                 THEN format('SELECT booking_id, state, due_at, error FROM guestly.queue WHERE error_class = ''internal''; %s -- correct what does not end; to retry one booking immediately: SELECT guestly_sync(%L);', code, q.one) END
    FROM (SELECT count(*) FILTER (WHERE w.state <> 'failed') AS waiting, count(*) FILTER (WHERE w.state = 'failed') AS failed, min(w.booking_id) AS one
          FROM guestly.queue w WHERE w.error_class = 'internal' AND w.error LIKE '%code of the table%did not end within %') q
    LEFT JOIN guestly.host_code() h ON h.since < clock_timestamp() - interval '2 seconds';
    RETURN QUERY SELECT 'sweep', CASE WHEN s.at IS NULL THEN 'ok' ELSE 'warn' END,
        CASE WHEN s.at IS NULL THEN 'the search for paid bookings that no trigger queued ends in time'
             ELSE format('the search for paid bookings that no trigger queued did not end within 20 s (at %s): such bookings are not found', s.at) END,
        CASE WHEN s.at IS NOT NULL THEN guestly.sweep_fix(attached) END
    FROM guestly.sweep_stopped_at() AS s (at) WHERE attached IS NOT NULL;
END $$;

-- Creates the index that the sweep needs, like guestly_attach() but without blocking the table; if the index exists, lists code to check.
CREATE FUNCTION guestly.sweep_fix(attached regclass) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN i.indisvalid
                    THEN format('ANALYZE %s; SELECT tgname, tgfoid::regproc FROM pg_trigger WHERE tgrelid = %L::regclass AND NOT tgisinternal; -- its index exists: check functions in other indexes and in policies of the table', attached, attached)
                ELSE concat('DROP INDEX CONCURRENTLY ' || i.indexrelid::regclass || '; ',
                            format('CREATE INDEX CONCURRENTLY %I ON %s %s WHERE guestly_reservation_id IS NULL;', n.name, attached,
                                   format(CASE t.typcategory WHEN 'S' THEN '(lower(btrim(%I::text, E'' \t\n\r\f'') COLLATE "C"))' ELSE '(%I)' END, p.attname))) END
    FROM guestly.attachment a
    JOIN pg_class c ON c.oid = attached
    JOIN pg_attribute p ON p.attrelid = attached AND p.attname = a.payment_column
    JOIN pg_type t ON t.oid = p.atttypid
    CROSS JOIN LATERAL (SELECT left(c.relname, 38) || '_guestly_open_idx' AS name) n
    LEFT JOIN (pg_index i JOIN pg_class x ON x.oid = i.indexrelid) ON i.indrelid = attached AND x.relname = n.name
$$;

-- Active properties without a listing; if they cannot be read, the reason.
CREATE FUNCTION guestly.listings_missing() RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF guestly.host_code_hangs() THEN
        RETURN 'cannot read the properties while code of the bookings table does not end';
    END IF;
    RETURN (SELECT 'no listing for ' || string_agg(quote_literal(p.slug), ', ')
            FROM unnest(guestly.properties_without_listing()) AS p (slug));
EXCEPTION WHEN OTHERS THEN
    RETURN 'cannot read the properties: ' || SQLERRM;
END $$;

-- Statuses of paid bookings that are not in guestly.status_map; if a mapping expression raises an error, its message.
CREATE FUNCTION guestly.statuses_missing() RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF guestly.host_code_hangs() THEN
        RETURN 'cannot read the bookings while code of their table does not end';
    END IF;
    RETURN (SELECT 'no Guestly status for ' || string_agg(quote_literal(s.name), ', ' ORDER BY s.name)
            FROM unnest(guestly.paid_booking_statuses()) AS s (name)
            WHERE NOT EXISTS (SELECT FROM guestly.status_map m WHERE lower(m.booking_status) = lower(s.name)));
EXCEPTION WHEN OTHERS THEN
    RETURN 'cannot read the bookings: ' || SQLERRM;
END $$;

-- The doctor's rows about alert mails.
CREATE FUNCTION guestly.doctor_of_mail(settings jsonb, armed boolean) RETURNS TABLE (check_name text, status text, detail text, fix text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    set_up boolean := (settings ->> 'mail')::boolean;
    wrong text := (SELECT w.mail_problem FROM guestly.worker w);
    refused_address CONSTANT text := '(\S+@\S+) was refused: ';
    variables CONSTANT jsonb := '{"smtp_url": "GUESTLY_SMTP_URL", "email_api_url": "EMAIL_API_ENDPOINT", "email_api_key": "EMAIL_API_KEY",
                                  "alert_from": "GUESTLY_ALERT_FROM", "admin_email": "ADMIN_ALERT_EMAIL"}';
    unwanted text; waiting bigint; tried bigint; said text; culprit text;
    -- Start of the mail in progress if it takes longer than a few seconds; a mail of an earlier worker does not count.
    slow timestamptz := (SELECT w.mail_started_at FROM guestly.worker w JOIN guestly.live_worker() l ON w.mail_started_at > l.since
                         WHERE w.mail_started_at < clock_timestamp() - interval '3 seconds');
    again CONSTANT text := 'SELECT pg_reload_conf(); then SELECT guestly_test_alert();';
    correct CONSTANT text := 'ALTER SYSTEM SET guestly_sync.%s = ''…''; (or correct %s) ' || again;
BEGIN
    -- A mail that only some recipients accepted is recorded as sent, so no waiting alert shows the refusal.
    SELECT a.answer INTO unwanted
    FROM (SELECT l.answer FROM guestly.alerts l WHERE l.state = 'sent' ORDER BY l.closed_at DESC LIMIT 1) a
    WHERE EXISTS (SELECT FROM regexp_matches(a.answer, refused_address, 'g') AS m WHERE strpos(settings ->> 'mail_to', m[1]) > 0);
    culprit := coalesce(substring(wrong FROM '(smtp_url|email_api_url|email_api_key|alert_from|admin_email)'), 'smtp_url');
    RETURN QUERY SELECT 'mail',
        CASE WHEN NOT set_up OR wrong IS NULL AND unwanted IS NOT NULL THEN 'warn' WHEN wrong IS NOT NULL THEN 'fail' ELSE 'ok' END,
        CASE WHEN NOT set_up THEN 'not configured: alerts stay in guestly.alerts'
             WHEN wrong IS NOT NULL THEN 'cannot send mail: ' || wrong
             ELSE concat_ws('; the mail server answered: ', 'alerts are mailed to ' || (settings ->> 'mail_to'), unwanted) END,
        CASE WHEN NOT set_up
                 THEN 'Set guestly_sync.admin_email, and guestly_sync.smtp_url or guestly_sync.email_api_url; ' || again
             WHEN wrong IS NOT NULL THEN format(correct, culprit, variables ->> culprit)
             WHEN unwanted IS NOT NULL THEN format(correct, 'admin_email', variables ->> 'admin_email') END;
    SELECT count(*), count(a.answer), max(a.answer) INTO waiting, tried, said FROM guestly.alerts a WHERE a.state = 'waiting';
    culprit := CASE WHEN said ~ refused_address THEN 'admin_email' WHEN said IS NOT NULL THEN 'smtp_url' END;
    RETURN QUERY SELECT 'alerts', CASE WHEN tried > 0 THEN 'fail' WHEN waiting > 0 OR slow IS NOT NULL THEN 'warn' ELSE 'ok' END,
        concat_ws('; ', format('%s waiting to be mailed', waiting), 'a mail has been in progress since ' || slow, 'the mail server answered: ' || said,
                  CASE WHEN waiting > 0 AND NOT armed THEN 'sending is disabled on this server: the database looks like a copy' END),
        CASE WHEN waiting > 0 AND NOT armed THEN 'Do nothing if the original is still running. To make this server the sender: SELECT guestly_arm();'
             WHEN culprit = 'admin_email' THEN format(correct, culprit, variables ->> culprit)
             WHEN tried > 0 OR slow IS NOT NULL THEN 'Fix the mail server, or correct guestly_sync.smtp_url or guestly_sync.email_api_url; ' || again END;
END $$;

-- The doctor's row about the role that owns the extension's objects: it must have no login, no attributes and no members.
CREATE FUNCTION guestly.doctor_of_roles() RETURNS TABLE (check_name text, status text, detail text, fix text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'roles', CASE WHEN w.extras = '' THEN 'ok' ELSE 'fail' END,
           CASE WHEN w.extras = '' THEN format('%s owns the objects of the extension and has no other privileges', w.role)
                ELSE format('%s owns the objects of the extension and must not have %s', w.role, w.extras) END,
           CASE WHEN w.extras <> '' THEN concat_ws(' ', format('ALTER ROLE %s NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;', w.role), w.revokes) END
    FROM (SELECT quote_ident(r.rolname) AS role,
                 concat_ws(', ', CASE WHEN r.rolcanlogin THEN 'LOGIN' END, CASE WHEN r.rolsuper THEN 'SUPERUSER' END,
                           CASE WHEN r.rolcreatedb THEN 'CREATEDB' END, CASE WHEN r.rolcreaterole THEN 'CREATEROLE' END,
                           CASE WHEN r.rolreplication THEN 'REPLICATION' END, CASE WHEN r.rolbypassrls THEN 'BYPASSRLS' END,
                           'the members ' || string_agg(quote_ident(m.rolname), ', ')) AS extras,
                 string_agg('REVOKE ' || quote_ident(r.rolname) || ' FROM ' || quote_ident(m.rolname) || ';', ' ') AS revokes
          FROM pg_namespace n JOIN pg_roles r ON r.oid = n.nspowner
          LEFT JOIN pg_auth_members a ON a.roleid = r.oid LEFT JOIN pg_roles m ON m.oid = a.member
          WHERE n.nspname = 'guestly'
          GROUP BY r.oid, r.rolname, r.rolcanlogin, r.rolsuper, r.rolcreatedb, r.rolcreaterole, r.rolreplication, r.rolbypassrls) w
$$;

-- The doctor's row about code of other roles that runs with the privileges of the table's owner: trigger functions, and partitions or
-- children with a different owner.
CREATE FUNCTION guestly.doctor_of_others(bookings regclass) RETURNS TABLE (check_name text, status text, detail text, fix text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    WITH tree AS (
        SELECT c.oid, c.relowner, guestly.owner_of(bookings) AS wanted, guestly.qualified_name(c.oid) AS name FROM pg_class c
        WHERE c.oid = bookings OR c.oid IN (SELECT d.relation FROM guestly.children(bookings) AS d (relation))
    ), found AS (
        SELECT format('table %s is owned by %I', t.name, pg_get_userbyid(t.relowner)) AS problem,
               format('ALTER TABLE %s OWNER TO %I;', t.name, pg_get_userbyid(t.wanted)) AS fix
        FROM tree t WHERE t.relowner <> t.wanted
        UNION ALL
        SELECT format('trigger %I on %s runs a function owned by %I', g.tgname, t.name, r.rolname),
               format('ALTER FUNCTION %s OWNER TO %I;', g.tgfoid::regprocedure, pg_get_userbyid(t.wanted))
        FROM tree t JOIN pg_trigger g ON g.tgrelid = t.oid AND NOT g.tgisinternal AND g.tgname <> ALL (guestly.trigger_names())
        JOIN pg_proc p ON p.oid = g.tgfoid JOIN pg_roles r ON r.oid = p.proowner
        WHERE p.proowner <> t.wanted AND NOT r.rolsuper
    )
    SELECT 'code of others', CASE WHEN count(*) = 0 THEN 'ok' ELSE 'warn' END,
           coalesce(string_agg(f.problem, '; ') || ': this code runs with the privileges of the owner of the bookings table', 'none on the table'),
           string_agg(f.fix, ' ')
    FROM found f
$$;

CREATE FUNCTION guestly_doctor(online boolean DEFAULT false) RETURNS TABLE (check_name text, status text, detail text, fix text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    now_ record;
    sql_version text := (SELECT extversion FROM pg_extension WHERE extname = 'guestly_sync');
    settings jsonb := guestly.setting_values();
    attached regclass := guestly.attached();
    off text; missing text;
BEGIN
    SELECT * INTO now_ FROM guestly.status_row();
    RETURN QUERY SELECT 'preload', CASE WHEN guestly.is_preloaded() THEN 'ok' ELSE 'fail' END,
        CASE WHEN guestly.is_preloaded() THEN 'loaded at server start' ELSE 'not in shared_preload_libraries: no worker can run' END,
        CASE WHEN NOT guestly.is_preloaded() THEN format('ALTER SYSTEM SET shared_preload_libraries = %s; then restart the server',
            (SELECT string_agg(quote_literal(trim(l)), ', ') FROM unnest(string_to_array(nullif(guestly.preloaded_libraries(), ''), ',') || 'guestly_sync'::text) l)) END;
    RETURN QUERY SELECT 'worker', CASE WHEN now_.worker_pid IS NULL THEN 'fail' ELSE 'ok' END,
        CASE WHEN now_.worker_pid IS NULL THEN 'no worker for this database' ELSE format('process %s, since %s', now_.worker_pid, now_.worker_since) END,
        CASE WHEN now_.worker_pid IS NULL THEN 'See the row preload. Otherwise see the server log: if no background worker slot is free, ALTER SYSTEM SET max_worker_processes = …; (greater than SHOW max_worker_processes) and restart the server. A standby has no worker' END;
    RETURN QUERY SELECT * FROM guestly.doctor_of_host_code(attached);
    RETURN QUERY SELECT 'version', CASE WHEN sql_version = guestly.library_version() THEN 'ok' ELSE 'fail' END,
        format('library %s, SQL objects %s', guestly.library_version(), sql_version),
        CASE WHEN sql_version = guestly.library_version() THEN NULL
             WHEN string_to_array(substring(sql_version FROM '^[0-9.]*[0-9]'), '.')::int[]
                  < string_to_array(substring(guestly.library_version() FROM '^[0-9.]*[0-9]'), '.')::int[]
             THEN 'ALTER EXTENSION guestly_sync UPDATE;'
             ELSE 'Restart the server: it still runs the older library' END;
    RETURN QUERY SELECT 'enabled', CASE WHEN now_.enabled THEN 'ok' ELSE 'warn' END,
        CASE WHEN now_.enabled THEN 'on' ELSE 'off: paid bookings are queued but not sent' END,
        CASE WHEN NOT now_.enabled THEN 'ALTER SYSTEM SET guestly_sync.enabled = on; SELECT pg_reload_conf();' END;
    RETURN QUERY SELECT 'test mode', CASE WHEN now_.test_mode THEN 'warn' ELSE 'ok' END,
        CASE WHEN now_.test_mode THEN 'on: nothing is sent, bookings get ids that begin with test-' ELSE 'off' END,
        CASE WHEN now_.test_mode THEN 'ALTER SYSTEM SET guestly_sync.test_mode = off; SELECT pg_reload_conf();' END;
    RETURN QUERY SELECT 'paused', CASE WHEN now_.paused THEN 'warn' ELSE 'ok' END,
        CASE WHEN now_.paused THEN concat_ws(': ', 'paused', now_.pause_reason) ELSE 'no' END,
        CASE WHEN now_.paused THEN 'SELECT guestly_resume();' END;
    RETURN QUERY SELECT 'armed', CASE WHEN now_.armed THEN 'ok' ELSE 'fail' END,
        CASE WHEN now_.armed THEN 'this server and database may send' ELSE 'sending is disabled on this server: the database looks like a copy' END,
        CASE WHEN NOT now_.armed THEN 'Do nothing if the original is still running. To make this server the sender: SELECT guestly_arm();' END;
    RETURN QUERY SELECT 'attached', CASE WHEN attached IS NULL THEN 'fail' ELSE 'ok' END,
        CASE WHEN attached IS NULL THEN 'no bookings table is attached' ELSE format('%s, since %s', attached, (SELECT a.attached_at FROM guestly.attachment a)) END,
        CASE WHEN attached IS NULL THEN 'SELECT guestly_attach(''bookings'');' END;
    IF attached IS NOT NULL THEN
        off := guestly.triggers_off();
        RETURN QUERY SELECT 'triggers', CASE WHEN off IS NULL THEN 'ok' ELSE 'fail' END,
            coalesce('missing or disabled: ' || off, 'present and enabled'),
            CASE WHEN off IS NOT NULL THEN format('SELECT guestly_attach(%L);', attached) END;
        RETURN QUERY SELECT 'owner', CASE WHEN r.rolsuper THEN 'warn' ELSE 'ok' END,
            CASE WHEN r.rolsuper THEN format('%s is a superuser: triggers and mapping run with superuser privileges', r.rolname) ELSE r.rolname::text END,
            CASE WHEN r.rolsuper THEN format('ALTER TABLE %s OWNER TO …; (a role without special privileges)', attached) END
        FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner WHERE c.oid = attached;
        RETURN QUERY SELECT 'row security', CASE WHEN s.hides THEN 'warn' ELSE 'ok' END,
            CASE WHEN s.hides THEN 'FORCE ROW LEVEL SECURITY is on: policies also apply to the owner, and reading the bookings fails'
                 ELSE 'the owner sees every row' END,
            CASE WHEN s.hides THEN format('ALTER TABLE %s NO FORCE ROW LEVEL SECURITY;', attached) END
        FROM (SELECT c.relrowsecurity AND c.relforcerowsecurity AND NOT r.rolsuper AND NOT r.rolbypassrls AS hides
              FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner WHERE c.oid = attached) s;
        missing := guestly.listings_missing();
        RETURN QUERY SELECT 'listings', CASE WHEN missing IS NULL THEN 'ok' ELSE 'warn' END,
            coalesce(missing, format('%s listings', (SELECT count(*) FROM guestly.listings))),
            CASE WHEN missing LIKE 'no listing for %' THEN 'INSERT INTO guestly.listings (property, listing_id) VALUES (…);'
                 WHEN missing IS NOT NULL THEN 'See the rows host code and sweep, and the privileges of the table''s owner' END;
    END IF;
    RETURN QUERY SELECT * FROM guestly.doctor_of_roles();
    RETURN QUERY SELECT * FROM guestly.doctor_of_others(attached) WHERE attached IS NOT NULL;
    missing := guestly.statuses_missing();
    RETURN QUERY SELECT 'statuses', CASE WHEN missing IS NULL THEN 'ok' ELSE 'warn' END,
        coalesce(missing, format('%s statuses mapped', (SELECT count(*) FROM guestly.status_map))),
        CASE WHEN missing LIKE 'no Guestly status for %' THEN 'INSERT INTO guestly.status_map (booking_status, guestly_status) VALUES (…);'
             WHEN missing IS NOT NULL THEN 'See the rows host code and sweep, and guestly.field_map' END
    WHERE attached IS NOT NULL;
    RETURN QUERY SELECT 'tls', CASE WHEN w.tls_problem IS NULL THEN 'ok' ELSE 'fail' END, coalesce(w.tls_problem, w.tls_roots, 'not checked yet'),
        CASE WHEN w.tls_problem IS NOT NULL THEN 'Correct them in the server''s environment, then restart the server' END
    FROM (VALUES (true)) one LEFT JOIN guestly.worker w ON true;
    RETURN QUERY SELECT 'credentials', CASE WHEN settings ->> 'credentials' IS NULL OR now_.credentials_error IS NOT NULL THEN 'fail' ELSE 'ok' END,
        coalesce('rejected: ' || now_.credentials_error || coalesce('; next attempt at ' || (SELECT w.credentials_until FROM guestly.worker w), ''),
                 'from ' || (settings ->> 'credentials'), 'none found'),
        CASE WHEN settings ->> 'credentials' IS NULL
                 THEN 'Put guestly_client_id and guestly_client_secret into Vault, or GUESTY_CLIENT_ID and GUESTY_CLIENT_SECRET into the server''s environment'
             WHEN now_.credentials_error IS NOT NULL THEN 'Correct them where they are stored, then SELECT pg_reload_conf(); if that is the server''s environment, restart the server instead' END;
    RETURN QUERY SELECT 'secret in a setting', CASE WHEN settings ->> 'credentials' = 'settings' THEN 'warn' ELSE 'ok' END,
        CASE WHEN settings ->> 'credentials' = 'settings' THEN 'the server logs the value of a changed setting at reload' ELSE 'no' END,
        CASE WHEN settings ->> 'credentials' = 'settings' THEN 'Keep the secret in Vault or in the server''s environment' END;
    RETURN QUERY SELECT 'tokens', CASE WHEN now_.tokens_24h >= 5 THEN 'warn' ELSE 'ok' END,
        format('%s requested in 24 hours, Guesty issues 5; %s', now_.tokens_24h, coalesce('the current one expires at ' || now_.token_expires_at, 'none stored')),
        CASE WHEN now_.tokens_24h >= 5 THEN format('Wait until %s, or see why they are rejected: SELECT * FROM guestly.attempts WHERE operation = ''token'';',
            (SELECT min(t.requested_at) + interval '24 hours' FROM guestly.token_requests t WHERE t.requested_at > clock_timestamp() - interval '24 hours')) END;
    RETURN QUERY SELECT 'guestly', CASE WHEN now_.breaker = 'open' THEN 'fail' WHEN l.error IS NOT NULL THEN 'warn' ELSE 'ok' END,
        CASE now_.breaker WHEN 'open' THEN format('unreachable since %s', now_.breaker_since)
             WHEN 'half-open' THEN format('reachable again since %s', now_.breaker_since)
             ELSE coalesce('the last call failed: ' || l.error, 'no known problem') END,
        CASE WHEN now_.breaker = 'open' THEN 'No action needed: retries are automatic. See last_error in guestly.status'
             WHEN l.error IS NOT NULL THEN 'Retries are automatic. If it persists, check the network, guestly_sync.base_url and the certificates of this server' END
    FROM (SELECT (SELECT coalesce(a.error, a.outcome)
                  FROM (SELECT * FROM guestly.attempts c WHERE c.operation <> 'plan' ORDER BY c.started_at DESC LIMIT 1) a
                  WHERE a.outcome IN ('not_sent', 'unavailable')) AS error) l;
    RETURN QUERY SELECT 'payments', CASE WHEN settings ->> 'payment_problem' IS NULL THEN 'ok' ELSE 'warn' END,
        coalesce(settings ->> 'payment_problem', 'recorded in Guestly as ' || (settings ->> 'payment_method'), 'not recorded in Guestly'),
        CASE WHEN settings ->> 'payment_problem' IS NOT NULL
             THEN 'ALTER SYSTEM RESET guestly_sync.payment_method_name; ALTER SYSTEM RESET guestly_sync.payment_path; SELECT pg_reload_conf();' END;
    RETURN QUERY SELECT 'prices', CASE WHEN now_.price_differences = 0 THEN 'ok' ELSE 'warn' END,
        format('%s reservations whose total differs from the amount paid', now_.price_differences),
        CASE WHEN now_.price_differences > 0 THEN 'Correct the price in Guestly if it is wrong: SELECT booking_id, reservation_id, total, paid FROM guestly.reservations WHERE total <> paid;' END;
    RETURN QUERY SELECT 'stale bookings', CASE WHEN count(*) = 0 THEN 'ok' ELSE 'warn' END,
        format('%s waiting longer than guestly_sync.stale_after', count(*)),
        CASE WHEN count(*) > 0 THEN 'SELECT * FROM guestly.queue ORDER BY queued_at; SELECT * FROM guestly_timeline(''…'');' END
    FROM guestly.queue q WHERE q.state <> 'failed' AND (q.backfill IS NULL OR q.arrival <= current_date + 2)
      AND q.queued_at < clock_timestamp() - make_interval(secs => (settings ->> 'stale_after_seconds')::double precision);
    RETURN QUERY SELECT 'failed bookings', CASE WHEN count(*) = 0 THEN 'ok' ELSE 'warn' END, format('%s', count(*)),
        CASE WHEN count(*) > 0 THEN 'SELECT booking_id, error_class, error FROM guestly.queue WHERE state = ''failed''; then SELECT guestly_retry_failed();' END
    FROM guestly.queue q WHERE q.state = 'failed';
    RETURN QUERY SELECT * FROM guestly.doctor_of_mail(settings, now_.armed);
    RETURN QUERY SELECT 'clock', CASE WHEN abs(now_.clock_skew_ms) > 60000 THEN 'warn' ELSE 'ok' END,
        coalesce(round(now_.clock_skew_ms / 1000.0) || ' s difference from Guestly''s clock', 'not compared yet'),
        CASE WHEN abs(now_.clock_skew_ms) > 60000 THEN 'Correct the server''s clock (NTP)' END;
    IF online THEN
        IF guestly.ask_worker() THEN
            RETURN QUERY SELECT 'online', w.online_status, w.online_answer,
                CASE WHEN NOT now_.armed THEN 'Do nothing if the original is still running. To make this server the sender: SELECT guestly_arm();' WHEN w.online_status = 'warn' THEN 'Wait: sending resumes automatically.' WHEN w.online_status <> 'ok' THEN 'Correct the credentials, guestly_sync.base_url or the network, then SELECT pg_reload_conf();' END
            FROM guestly.worker w;
        ELSE
            RETURN QUERY SELECT 'online', 'fail', 'the worker did not respond', 'See the row worker above, and the server log';
        END IF;
    END IF;
END $$;
COMMENT ON FUNCTION guestly_doctor(boolean) IS 'checks what sending requires, one row per check, each with its fix; online => true also tries the credentials';
