//! The sale comes first: with broken or locked tables of the extension, the payment commits at once with a WARNING, and the
//! sweep queues the booking after the repair.

use guestly_scenarios::{SOON, Site, host, wait_until};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// The longest duration of a sale on a busy machine. One that waited for a lock on the queue would take as long as the
/// statement may.
const NOTICEABLE: Duration = Duration::from_secs(5);
const AS_LONG_AS_IT_MAY: &str = "SET statement_timeout = '30s'";

fn site() -> Site {
    Site::open_with(|options| options.setting("guestly_sync.poll_interval", "500ms"))
}

/// Pays a booking in its own session after `before`; gives the duration and the notices.
fn pay(site: &Site, before: &str, id: &str) -> (Duration, String) {
    change(site, before, id, "payment_status = 'completed'")
}

/// The same with any change.
fn change(site: &Site, before: &str, id: &str, change: &str) -> (Duration, String) {
    let words = Arc::new(Mutex::new(String::new()));
    let ears = Arc::clone(&words);
    let mut client = postgres::Config::new()
        .host_path(site.socket_folder())
        .user("postgres")
        .dbname(site.name())
        .notice_callback(move |notice| {
            let hint = notice.hint().unwrap_or_default();
            ears.lock().unwrap().push_str(&format!("{}: {}; {hint}; ", notice.severity(), notice.message()));
        })
        .connect(postgres::NoTls)
        .unwrap();
    client.batch_execute(before).unwrap();
    let began = Instant::now();
    client.batch_execute(&format!("UPDATE public.bookings SET {change} WHERE id = '{id}'")).unwrap();
    let took = began.elapsed();
    client.simple_query("SELECT 1").unwrap();
    let words = words.lock().unwrap().clone();
    (took, words)
}

/// The payment is there, the WARNING was given, nothing is queued.
fn assert_sold(site: &Site, id: &str, took: Duration, words: &str) {
    assert!(took < NOTICEABLE, "the sale took {took:?}");
    assert!(words.contains("WARNING: guestly_sync could not queue 1 paid booking(s)"), "{words}");
    assert_eq!(site.row(id)["payment_status"], "completed");
}

#[test]
fn a_locked_queue_does_not_delay_a_sale() {
    let site = site();
    let ids = host::make_bookings(&site, 3);
    let mut holder = site.client();
    for (id, before) in ids.iter().zip([
        AS_LONG_AS_IT_MAY,
        "SET statement_timeout = '30s'; SET lock_timeout = '20s'",
        "SET statement_timeout = '3s'",
    ]) {
        holder.batch_execute("BEGIN; LOCK TABLE guestly.queue IN ACCESS EXCLUSIVE MODE").unwrap();
        let (took, words) = pay(&site, before, id);
        assert_sold(&site, id, took, &words);
        holder.batch_execute("COMMIT").unwrap();
        site.wait_synced(id);
    }
    site.assert_once_each(&ids);
}

#[test]
fn a_missing_queue_does_not_stop_a_sale() {
    let site = site();
    let worker = site.wait_for_worker(&site);
    let id = host::make_bookings(&site, 1).remove(0);
    site.sql("ALTER TABLE guestly.queue RENAME TO away");
    let (took, words) = pay(&site, "", &id);
    assert_sold(&site, &id, took, &words);
    // Long enough for the worker to have noticed.
    site.wait_for("the error", SOON, "SELECT pg_read_file('../log') LIKE '%guestly_sync: cannot work%', ''");
    site.sql("ALTER TABLE guestly.away RENAME TO queue");
    site.wait_synced(&id);
    assert_eq!(site.wait_for_worker(&site), worker, "the worker crashed");

    // Dropped for good: the booking is paid, and a new installation is the remedy.
    let later = host::make_bookings(&site, 1).remove(0);
    site.sql(
        "ALTER EXTENSION guestly_sync DROP VIEW guestly.known_bookings; DROP VIEW guestly.known_bookings; \
         ALTER EXTENSION guestly_sync DROP TABLE guestly.queue; DROP TABLE guestly.queue CASCADE",
    );
    let (took, words) = pay(&site, "", &later);
    assert_sold(&site, &later, took, &words);
    site.sql("DROP EXTENSION guestly_sync CASCADE; CREATE EXTENSION guestly_sync");
    host::map_listings(&site);
    site.sql("SELECT * FROM guestly_backfill(dry_run => false)");
    site.wait_synced(&later);
}

#[test]
fn an_unrecorded_change_is_compared_on_request() {
    let site = site();
    let id = site.paid_booking();
    site.wait_all_synced(SOON);
    // The daily comparison of upcoming stays would find it too.
    site.alter_system("guestly_sync.enabled", "off");
    site.sql("ALTER TABLE guestly.changes ADD CONSTRAINT wrong CHECK (false) NOT VALID");
    let (took, words) = change(&site, "", &id, "adults = 4");
    assert!(
        took < NOTICEABLE && words.contains("WARNING: guestly_sync could not record 1 changed booking(s)"),
        "{words}"
    );
    let call = format!("SELECT guestly_sync('{id}')");
    assert!(words.contains(&call) && !words.contains("could not queue"), "{words}");
    site.sql("ALTER TABLE guestly.changes DROP CONSTRAINT wrong");
    assert_eq!(site.query_one::<String>(&call), "synced");
    assert_eq!(site.query_one::<i64>("SELECT count(*) FROM guestly.changes"), 1, "it is compared");
    site.alter_system("guestly_sync.enabled", "on");
    wait_until("Guestly to be called", SOON, || {
        let adults = site.only_reservation(&id)["numberOfGuests"]["numberOfAdults"].clone();
        (adults == 4, adults.to_string())
    });
    site.wait_all_synced(SOON);
    site.assert_once_each(&[id]);
}

#[test]
fn damaged_tables_do_not_stop_a_sale() {
    let site = site();
    for (breaks, repair) in [
        ("ADD CONSTRAINT wrong CHECK (false) NOT VALID", "DROP CONSTRAINT wrong"),
        ("ADD COLUMN extra integer NOT NULL", "DROP COLUMN extra"),
        ("RENAME COLUMN arrival TO departure", "RENAME COLUMN departure TO arrival"),
    ] {
        let id = host::make_bookings(&site, 1).remove(0);
        site.sql(&format!("ALTER TABLE guestly.queue {breaks}"));
        let (took, words) = pay(&site, "", &id);
        assert_sold(&site, &id, took, &words);
        site.sql(&format!("ALTER TABLE guestly.queue {repair}"));
        site.wait_synced(&id);
    }
}

#[test]
fn a_role_without_privileges_pays_without_a_warning() {
    let site = site();
    site.sql(
        "CREATE ROLE cashier; GRANT USAGE ON SCHEMA public TO cashier; GRANT SELECT (id), UPDATE (payment_status) ON bookings \
         TO cashier; CREATE POLICY of_cashiers ON bookings TO cashier USING (true)",
    );
    let ids = host::make_bookings(&site, 2);
    let (_, words) = pay(&site, "SET ROLE cashier", &ids[0]);
    assert_eq!(words, "");
    let (_, words) = pay(&site, "SET ROLE cashier; SET search_path = ''; SET row_security = on", &ids[1]);
    assert_eq!(words, "");
    site.wait_for_status(&ids, "synced");
    assert_eq!(site.sim.calls("search"), 0, "queued by the trigger, not found by the sweep");
}

#[test]
fn a_sale_keeps_the_session_unchanged() {
    let site = site();
    let ids = host::make_bookings(&site, 2);
    let mut sale = site.client();
    let said = "SELECT concat_ws(' ', current_setting('lock_timeout'), current_setting('plan_cache_mode'), \
                current_setting('enable_seqscan'), current_setting('search_path'), current_user)";
    sale.batch_execute("SET ROLE service_role; BEGIN; SET LOCAL lock_timeout = '7s'; SET LOCAL enable_seqscan = off")
        .unwrap();
    let before: String = sale.query_one(said, &[]).unwrap().get(0);
    assert!(before.starts_with("7s auto off "), "{before}");
    let mut pay = |id: &str| {
        sale.batch_execute(&format!("UPDATE bookings SET payment_status = 'completed' WHERE id = '{id}'")).unwrap();
        assert_eq!(sale.query_one(said, &[]).unwrap().get::<_, String>(0), before);
    };
    // Queueing fails and is undone, then succeeds.
    let mut holder = site.client();
    holder.batch_execute("BEGIN; LOCK TABLE guestly.queue IN ACCESS EXCLUSIVE MODE").unwrap();
    pay(&ids[0]);
    holder.batch_execute("COMMIT").unwrap();
    pay(&ids[1]);
    sale.batch_execute("COMMIT").unwrap();
    site.wait_for_status(&ids, "synced");
}

#[test]
fn a_payment_can_be_cancelled_while_it_is_queued() {
    let site = site();
    let id = host::make_bookings(&site, 1).remove(0);
    // Queueing never returns.
    site.sql(
        "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(600); RETURN NEW; END $$; \
         CREATE TRIGGER dawdle BEFORE INSERT ON guestly.queue FOR EACH ROW EXECUTE FUNCTION dawdle()",
    );
    let refused = thread::scope(|scope| {
        let sale = scope
            .spawn(|| site.try_sql(&format!("UPDATE bookings SET payment_status = 'completed' WHERE id = '{id}'")));
        let asleep = "SELECT pg_cancel_backend(pid), '' FROM pg_stat_activity \
                      WHERE wait_event = 'PgSleep' AND query LIKE 'UPDATE bookings%'";
        site.wait_for("the sale to be cancelled", SOON, asleep);
        sale.join().unwrap()
    });
    assert!(refused.as_ref().is_err_and(|error| error.starts_with("57014")), "{refused:?}");
    assert_eq!(site.row(&id)["payment_status"], "pending");
}

#[test]
fn an_aborted_sale_leaves_nothing() {
    let site = site();
    let id = host::make_bookings(&site, 1).remove(0);
    site.try_sql(&format!("BEGIN; UPDATE bookings SET payment_status = 'completed' WHERE id = '{id}'; SELECT 1/0"))
        .unwrap_err();
    assert_eq!(site.row(&id)["payment_status"], "pending");
    site.worker_took_a_turn();
    assert_eq!(site.query_one::<i64>("SELECT count(*) FROM guestly.queue"), 0);
    assert_eq!(site.sim.calls("create"), 0);
}

#[test]
fn a_locked_queue_costs_a_sale_under_half_a_second() {
    let site = site();
    let ids = host::make_bookings(&site, 25);
    let mut holder = site.client();
    holder.batch_execute("BEGIN; LOCK TABLE guestly.queue IN ACCESS EXCLUSIVE MODE").unwrap();
    let best = ids[..5].iter().map(|id| pay(&site, AS_LONG_AS_IT_MAY, id).0).min().unwrap();
    assert!(best < Duration::from_millis(500), "the sale took {best:?} at best");
    // Less than the sale waits for a lock otherwise. On a busy machine one or the other runs out of it all the same.
    let mut client = site.client();
    client.batch_execute("SET statement_timeout = '80ms'").unwrap();
    let sold = ids[5..].iter().any(|id| {
        client.batch_execute(&format!("UPDATE bookings SET payment_status = 'completed' WHERE id = '{id}'")).is_ok()
    });
    assert!(sold, "no sale waited long enough to give up the lock");
}
