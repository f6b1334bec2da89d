//! Host triggers and mapping expressions that hang or fail for one booking: the others continue, the doctor reports it, and
//! the booking is sent once the code is corrected.

use std::time::{Duration, Instant};

use guestly_scenarios::process::memory_of;
use guestly_scenarios::{SOON, Site, host, wait_until};

/// Another sale reaches Guestly within this time, whatever host code does for one booking.
const PROMPT: Duration = Duration::from_secs(5);
/// Its row is written within this time: other host code may use its longest limit first.
const WRITTEN: Duration = Duration::from_secs(10);
/// A worker in code that ignores every cancel is terminated within 15 s and restarted.
const ENDED: Duration = Duration::from_secs(25);
/// A batch waits 5 s for its hanging row, and then 5 s for that row alone.
const BATCH: Duration = Duration::from_secs(20);
/// The longest wait of the first deferred booking, including its next attempt.
const BY_ITSELF: Duration = Duration::from_secs(150);

/// Catches every cancel.
const IGNORE_CANCELS: &str =
    "LOOP BEGIN PERFORM pg_sleep(1000); EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP;";

/// Bookings of the company `odd` run this PL/pgSQL when their row is written as synced.
fn with_trigger(body: &str) -> Site {
    let site = Site::open();
    site.sql(&format!(
        "CREATE FUNCTION public.on_sync() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             IF NEW.guest_company = 'odd' AND NEW.guestly_sync_status = 'synced' THEN {body} END IF; RETURN NEW; END $$; \
         CREATE TRIGGER on_sync BEFORE UPDATE ON bookings FOR EACH ROW EXECUTE FUNCTION public.on_sync()"
    ));
    site
}

/// Bookings of the company `odd` run this PL/pgSQL when they are read through the mapping.
fn with_mapping(body: &str) -> Site {
    let site = Site::open();
    site.sql(&format!(
        "CREATE FUNCTION public.adults(b public.bookings) RETURNS integer LANGUAGE plpgsql AS $$ BEGIN \
             IF b.guest_company = 'odd' THEN {body} END IF; RETURN b.adults; END $$; \
         UPDATE guestly.field_map SET expression = 'public.adults(b)' WHERE field = 'adults'"
    ));
    site
}

/// `how_many` bookings, the first of which is odd; not paid yet.
fn bookings(site: &Site, how_many: u32) -> Vec<String> {
    let ids = host::make_bookings(site, how_many);
    site.update(&ids[0], "guest_company = 'odd'");
    ids
}

/// Waits until the worker runs code of the host.
fn wait_until_inside(site: &Site) {
    site.wait_for("the worker to run host code", SOON, "SELECT count(*) = 1, '' FROM guestly.host_code()");
}

/// A sale of this moment reaches Guestly at once, and its row is written soon.
#[track_caller]
fn assert_prompt(site: &Site, id: &str) {
    let code = site.code(id);
    let began = Instant::now();
    host::pay(site, &[id.to_owned()]);
    wait_until("the other sale to reach Guestly", SOON, || {
        (!site.sim.reservations_of(&code).is_empty(), String::new())
    });
    assert!(began.elapsed() < PROMPT, "the other sale took {:?}", began.elapsed());
    site.wait_for_status_within(&[id.to_owned()], "synced", WRITTEN);
}

/// The doctor's fix works as written, without its comment.
#[track_caller]
fn assert_runs(site: &Site, fix: &str) {
    assert!(fix.contains("; -- "), "{fix}");
    site.client().batch_execute(fix).unwrap_or_else(|error| panic!("{fix}: {error}"));
}

#[track_caller]
fn assert_small(site: &Site) {
    wait_until("the worker to be small", SOON, || {
        let memory = site.worker_pid(site).map_or(u64::MAX, memory_of);
        (memory < 40_000, format!("{memory} kB"))
    });
}

/// Waits until a hanging worker was terminated.
fn wait_until_ended(site: &Site, pid: i32) {
    wait_until("another worker", ENDED, || {
        let next = site.worker_pid(site);
        (next.is_some_and(|next| next != pid), format!("{next:?}"))
    });
}

#[test]
fn a_sleeping_trigger_delays_no_other_sale() {
    let site = with_trigger("PERFORM pg_sleep(3600);");
    let ids = bookings(&site, 6);
    host::pay(&site, &ids[..3]);
    wait_until_inside(&site);
    assert_prompt(&site, &ids[3]);
    // Known outcomes are written meanwhile, each in its own transaction.
    site.wait_for_status(&ids[1..4], "synced");
    assert_eq!(site.row(&ids[0])["guestly_sync_status"], "pending");
    assert_prompt(&site, &ids[4]);
    assert_prompt(&site, &ids[5]);
    assert_small(&site);
    let warning = format!("booking {} is postponed: its row cannot be written: code of the table did not end", ids[0]);
    assert_eq!(site.log().matches(&warning).count(), 1, "{}", site.log());
    site.sql("DROP TRIGGER on_sync ON bookings");
    site.wait_all_synced(SOON);
    site.assert_once_each(&ids);
}

#[test]
fn a_trigger_that_ignores_cancels_ends_the_worker() {
    let site = with_trigger(IGNORE_CANCELS);
    let pid = site.worker_pid(&site).expect("a worker");
    let ids = bookings(&site, 2);
    host::pay(&site, &ids[..1]);
    wait_until_inside(&site);
    host::pay(&site, &ids[1..]);
    let row = "SELECT status = 'fail', concat_ws('|', status, detail, fix) FROM guestly_doctor() WHERE check_name = 'host code'";
    site.wait_for("the doctor to say so", SOON, row);
    let [_, detail, fix] = site.doctor("host code");
    assert!(
        detail.starts_with(&format!("process {pid} has been running code of table public.bookings since ")),
        "{detail}"
    );
    assert!(detail.ends_with(&format!(" for booking {}", ids[0])), "{detail}");
    assert!(fix.starts_with(&format!("SELECT pg_terminate_backend({pid});")), "{fix}");
    let now = format!("SELECT detail FROM guestly_timeline('{}') WHERE detail LIKE 'process %'", ids[0]);
    assert_eq!(site.query_all::<String>(&now).len(), 1);
    wait_until_ended(&site, pid);
    site.wait_synced(&ids[1]);
    let queued = "SELECT state || ' ' || error_class || ': ' || error FROM guestly.queue";
    let sentence = "waiting internal: code of the table public.bookings did not end within 15 s: check its triggers and guestly.field_map";
    assert_eq!(site.query_one::<String>(queued), sentence);
    assert_eq!(site.log_of(&ids[0]), ["create:created", "plan:hung"], "Guestly's answer is stored");
    let [status, detail, fix] = site.doctor("host code");
    assert_eq!(status, "warn");
    assert_eq!(detail, "bookings postponed because code of table public.bookings did not end in time: 1");
    assert_runs(&site, &fix);
    assert!(
        site.log().contains("the worker was restarted: code on the bookings table ran for 15 s (booking "),
        "{}",
        site.log()
    );
    assert_small(&site);
    site.sql("DROP TRIGGER on_sync ON bookings");
    site.wait_for_status_within(&ids, "synced", BY_ITSELF);
    assert_eq!(site.sim.calls("create"), 2);
    site.assert_once_each(&ids);
    for check in ["host code", "listings", "statuses"] {
        assert_eq!(site.doctor(check)[0], "ok", "{check}");
    }
}

#[test]
fn a_trigger_that_ignores_cancels_loses_no_outcome() {
    let site = with_trigger(IGNORE_CANCELS);
    let ids = bookings(&site, 3);
    site.sim.hold("create", "after");
    host::pay(&site, &ids);
    site.sim.wait_for_calls("create", 3, SOON);
    site.sim.release();
    wait_until_inside(&site);
    site.wait_for_status_within(&ids[1..], "synced", BATCH);
    assert_eq!(site.row(&ids[0])["guestly_sync_status"], "pending");
    site.wait_for_state(&ids[0], "waiting", BATCH);
    for id in &ids {
        let outcomes = site.log_of(id);
        assert_eq!(outcomes[0], "create:created", "{outcomes:?}");
        assert!(!outcomes.iter().any(|outcome| outcome.contains("unknown")), "{outcomes:?}");
    }
    assert_eq!((site.sim.calls("create"), site.sim.calls("look_up")), (3, 0));
}

#[test]
fn a_booking_fails_after_five_hangs() {
    let site = with_trigger(IGNORE_CANCELS);
    let ids = bookings(&site, 1);
    // As if four workers had been terminated for it before.
    host::pay(&site, &ids);
    wait_until_inside(&site);
    site.sql(&format!(
        "INSERT INTO guestly.attempts (booking_id, attempt, operation, started_at, outcome) \
         SELECT '{}', 1, 'plan', clock_timestamp(), 'hung' FROM generate_series(1, 4)",
        ids[0]
    ));
    site.wait_for_state(&ids[0], "failed", ENDED);
    let error: String = site.query_one("SELECT error FROM guestly.queue");
    let reservation: String = site.query_one("SELECT reservation_id FROM guestly.reservations");
    let held = format!(
        "5 times: Guestly has reservation {reservation}, do not create it manually; \
         correct the trigger or the mapping, then SELECT guestly_sync('{}')",
        ids[0]
    );
    assert!(error.ends_with(&held), "{error}");
    assert_eq!(site.query_one::<i64>("SELECT count(*) FROM guestly.alerts WHERE kind = 'booking_failed'"), 1);
    site.sql("DROP TRIGGER on_sync ON bookings");
    site.sql(&format!("SELECT guestly_sync('{}')", ids[0]));
    site.wait_synced(&ids[0]);
    site.assert_once_each(&ids);
    assert_eq!(site.sim.calls("create"), 1);
}

#[test]
fn a_slow_trigger_is_cancelled_once_for_the_first_sale_only() {
    let site = with_trigger("PERFORM pg_sleep(1.5);");
    let ids = bookings(&site, 3);
    ids.iter().for_each(|id| site.update(id, "guest_company = 'odd'"));
    host::pay(&site, &ids[..1]);
    site.wait_synced(&ids[0]);
    for id in &ids[1..] {
        host::pay(&site, std::slice::from_ref(id));
        site.wait_synced(id);
    }
    assert_eq!(site.log().matches("is postponed: its row cannot be written").count(), 1, "{}", site.log());
}

#[test]
fn a_mapping_that_ignores_cancels_is_deferred() {
    let site = with_mapping(IGNORE_CANCELS);
    let pid = site.worker_pid(&site).expect("a worker");
    let ids = bookings(&site, 4);
    // Several at once: which of them hangs is found by the next worker.
    host::pay(&site, &ids);
    wait_until_inside(&site);
    wait_until_ended(&site, pid);
    site.wait_for_status_within(&ids[1..], "synced", ENDED);
    site.wait_for_state(&ids[0], "waiting", SOON);
    assert_small(&site);
    assert_eq!(site.row(&ids[0])["guestly_sync_status"], "pending");
    site.sql("UPDATE guestly.field_map SET expression = 'b.adults' WHERE field = 'adults'");
    site.sql(&format!("SELECT guestly_sync('{}')", ids[0]));
    site.wait_synced(&ids[0]);
    assert_eq!(site.sim.calls("create"), 4);
    site.assert_once_each(&ids);
}

#[test]
fn a_worker_terminated_in_host_code_defers_the_booking() {
    let site = with_trigger(IGNORE_CANCELS);
    let ids = bookings(&site, 1);
    host::pay(&site, &ids);
    let row = "SELECT status = 'fail', detail FROM guestly_doctor() WHERE check_name = 'host code'";
    site.wait_for("the doctor to say so", SOON, row);
    let fix: String = site.query_one("SELECT fix FROM guestly_doctor() WHERE check_name = 'host code'");
    assert_runs(&site, &fix);
    let put_off =
        "SELECT count(*) = 1, '' FROM guestly.queue WHERE error LIKE 'code of the table public.bookings did not end%'";
    site.wait_for("the booking to be deferred", SOON, put_off);
    site.sql("DROP TRIGGER on_sync ON bookings");
    site.sql(&format!("SELECT guestly_sync('{}')", ids[0]));
    site.wait_synced(&ids[0]);
    assert_eq!(site.sim.calls("create"), 1);
}

#[test]
fn a_sleeping_mapping_delays_no_other_sale() {
    let site = with_mapping("PERFORM pg_sleep(3600);");
    let ids = bookings(&site, 4);
    host::pay(&site, &ids[..2]);
    wait_until_inside(&site);
    assert_prompt(&site, &ids[2]);
    assert_prompt(&site, &ids[3]);
    site.wait_for_status(&ids[1..], "synced");
    assert_ne!(site.row(&ids[0])["guestly_sync_status"], "failed", "it may be temporary");
    let error = site.wait_failed(&ids[0]);
    let sentence =
        "internal: the booking cannot be read: code of the table did not end within 5 s; see guestly.field_map";
    assert_eq!(error, sentence);
    site.sql("UPDATE guestly.field_map SET expression = 'b.adults' WHERE field = 'adults'");
    site.sql(&format!("SELECT guestly_sync('{}')", ids[0]));
    site.wait_synced(&ids[0]);
    site.assert_once_each(&ids);
}

#[test]
fn a_mapping_with_a_huge_result_delays_no_other_sale() {
    let site = with_mapping("PERFORM array_agg(n) FROM generate_series(1, 1000000000000) AS n;");
    let ids = bookings(&site, 3);
    host::pay(&site, &ids[..2]);
    wait_until_inside(&site);
    assert_prompt(&site, &ids[2]);
    site.wait_for_status(&ids[1..], "synced");
    site.sql("UPDATE guestly.field_map SET expression = 'b.adults' WHERE field = 'adults'");
    site.wait_synced(&ids[0]);
    assert_small(&site);
    site.assert_once_each(&ids);
}

#[test]
fn a_trigger_waiting_for_a_lock_continues_after_release() {
    let site = with_trigger("PERFORM pg_advisory_xact_lock(4711);");
    let mut holder = site.client();
    holder.batch_execute("SELECT pg_advisory_lock(4711)").unwrap();
    let ids = bookings(&site, 4);
    host::pay(&site, &ids[..2]);
    site.sim.wait_for_calls("create", 2, SOON);
    wait_until_inside(&site);
    assert_prompt(&site, &ids[2]);
    assert_prompt(&site, &ids[3]);
    site.wait_for_status(&ids[1..], "synced");
    assert_small(&site);
    holder.batch_execute("SELECT pg_advisory_unlock(4711)").unwrap();
    site.wait_synced(&ids[0]);
    site.assert_once_each(&ids);
}

#[test]
fn a_trigger_that_raises_for_one_booking_stops_no_other() {
    let site = with_trigger("RAISE 'not this one';");
    let ids = bookings(&site, 4);
    host::pay(&site, &ids[..2]);
    site.sim.wait_for_calls("create", 2, SOON);
    assert_prompt(&site, &ids[2]);
    assert_prompt(&site, &ids[3]);
    site.wait_for_status(&ids[1..], "synced");
    let error = site.wait_failed(&ids[0]);
    assert_eq!(error, "internal: the booking's row cannot be written: not this one");
    assert_eq!(site.sim.reservations_of(&site.code(&ids[0])).len(), 1, "its reservation is stored");
    assert_small(&site);
}

#[test]
fn a_locked_table_is_waited_for_once_per_batch() {
    let site = Site::open_with(|options| options.setting("guestly_sync.concurrency", "8"));
    site.sim.hold("create", "after");
    let ids = site.paid_bookings(8);
    site.sim.wait_for_calls("create", 8, SOON);
    let mut holder = site.client();
    holder.batch_execute("BEGIN; LOCK TABLE bookings").unwrap();
    site.sim.release();
    let waits = "SELECT count(*) = 1, '' FROM pg_locks WHERE NOT granted AND relation = 'bookings'::regclass";
    site.wait_for("the worker to wait", SOON, waits);
    let began = Instant::now();
    // Each wait is half a second; reloads and requests are handled in between.
    site.worker_waited_in_vain();
    assert!(began.elapsed() < Duration::from_secs(3), "one cycle took {:?}", began.elapsed());
    holder.batch_execute("COMMIT").unwrap();
    site.wait_for_status(&ids, "synced");
    site.assert_once_each(&ids);
}

#[test]
fn the_doctor_answers_while_the_status_mapping_hangs() {
    let site = Site::open();
    site.sql(&format!(
        "CREATE FUNCTION public.status_of(b public.bookings) RETURNS text LANGUAGE plpgsql AS $$ BEGIN \
             IF b.guest_company = 'odd' THEN {IGNORE_CANCELS} END IF; RETURN b.status; END $$; \
         UPDATE guestly.field_map SET expression = 'public.status_of(b)' WHERE field = 'status'"
    ));
    let ids = bookings(&site, 1);
    host::pay(&site, &ids);
    wait_until_inside(&site);
    let row = "SELECT status = 'fail', concat_ws('|', status, detail, fix) FROM guestly_doctor() WHERE check_name = 'host code'";
    site.wait_for("the doctor to say so", SOON, row);
    let said: String = site.query_one("SELECT detail FROM guestly_doctor() WHERE check_name = 'statuses'");
    assert_eq!(said, "cannot read the bookings while code of their table does not end");
}

/// Planning a statement already runs code of the table's owner: the sweep of an idle worker meets it.
#[test]
fn a_hanging_index_expression_does_not_stop_the_worker() {
    let site = Site::open_with(|options| options.setting("guestly_sync.poll_interval", "1s"));
    let pid = site.worker_pid(&site).expect("a worker");
    site.sql(
        "CREATE TABLE public.switch (is_short boolean); INSERT INTO public.switch VALUES (false); \
         CREATE FUNCTION public.endless() RETURNS integer LANGUAGE plpgsql AS $$ BEGIN \
             IF (SELECT is_short FROM public.switch) THEN PERFORM pg_sleep(3600); END IF; RETURN 1; END $$; \
         CREATE FUNCTION public.planned(integer) RETURNS integer IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN RETURN public.endless(); END $$; \
         GRANT SELECT ON public.switch TO PUBLIC; CREATE INDEX ON bookings (created_at) WHERE public.planned(1) = 1",
    );
    site.sql("UPDATE public.switch SET is_short = true; ANALYZE public.switch");
    site.sql("ALTER TABLE bookings SET (fillfactor = 90)");
    site.wait_for("the worker to run host code", SOON, "SELECT count(*) = 1, '' FROM guestly.host_code()");
    let stopped = "SELECT guestly.sweep_stopped_at() IS NOT NULL, ''";
    site.wait_for("the sweep to be cancelled and reported", SOON, stopped);
    let [_, detail, _] = site.doctor("sweep");
    assert!(detail.contains("did not end within 20 s"), "{detail}");
    assert_eq!(site.doctor("statuses")[0], "warn", "the doctor runs the code as well");
    assert!(site.log().contains("the sweep did not end within 20 s"), "{}", site.log());
    site.sql("UPDATE public.switch SET is_short = false");
    let id = site.paid_booking();
    site.wait_synced(&id);
    assert_eq!(site.worker_pid(&site), Some(pid), "the worker was ended");
}

#[test]
fn the_slow_sweep_fix_creates_the_attach_index() {
    let site = Site::open();
    let index = "SELECT pg_get_indexdef(indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE c.relname = 'bookings_guestly_open_idx'";
    let attached: String = site.query_one(index);
    site.sql("DROP INDEX bookings_guestly_open_idx");
    let fix: String = site.query_one("SELECT guestly.sweep_fix('bookings')");
    assert!(fix.starts_with("CREATE INDEX CONCURRENTLY "), "{fix}");
    site.sql(&fix);
    assert_eq!(site.query_one::<String>(index), attached);
    let fix: String = site.query_one("SELECT guestly.sweep_fix('bookings')");
    assert!(fix.starts_with("ANALYZE public.bookings; "), "{fix}");
}
