//! The scene of a figure: the simulator's program, a durable server with the extension and some hundred flats, and the
//! ways to pay many bookings and to see when they are done. Called by the figures. Must not know how the worker works.

use guestly_scenarios::{Options, Sim, Site, host, wait_until};
use postgres::Client;
use serde_json::{Value, json};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// As many as keep the simulator's calendar of each short, and more than a host has.
const FLATS: usize = 200;
/// Nothing here takes longer.
pub const PATIENCE: Duration = Duration::from_secs(900);
/// The longest pause between two looks at how far a drain is.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Neither side limits calls.
pub fn free() -> Value {
    json!({"lag_scale": 0.02, "limits": false, "token_cap": 0, "max_in_flight": 64})
}

/// The simulator's program, which cargo puts beside this one.
pub fn simulator(knobs: &Value) -> Sim {
    let own = std::env::current_exe().unwrap_or_else(|error| panic!("where is this program? {error}"));
    Sim::start_program(&own.with_file_name("guestly-simulator"), knobs)
}

/// A site without limits on either side, with many flats.
pub fn open(more: impl FnOnce(Options) -> Options) -> Site {
    let site = open_small(more);
    furnish(&site);
    warm_up(&site);
    site
}

/// A site without limits on either side, as small as most are, the worker's token fetched.
pub fn open_small(more: impl FnOnce(Options) -> Options) -> Site {
    let unlimited = |options: Options| {
        ["second", "minute", "hour"]
            .iter()
            .fold(options.durable().setting("shared_buffers", "128MB"), |options, window| {
                options.setting(&format!("guestly_sync.rate_per_{window}"), "0")
            })
    };
    let site = Site::open_on(simulator(&free()), |options| more(unlimited(options)));
    warm_up(&site);
    site
}

/// A server that counts statements, the worker's too.
pub fn counting(options: Options) -> Options {
    let counting = options.setting("shared_preload_libraries", "pg_stat_statements,guestly_sync");
    counting.setting("pg_stat_statements.track", "all")
}

/// More flats, with a listing each.
pub fn furnish(site: &Site) {
    let listing = |number: usize| format!("64b1f0aa11bb22cc33{number:06x}");
    let rows: Vec<String> = (0..FLATS).map(|number| format!("('flat-{number:03}', '{}')", listing(number))).collect();
    site.sql(&format!(
        "INSERT INTO properties (slug, name, max_guests, base_price, is_active) \
         SELECT format('flat-%s', to_char(n, 'FM000')), 'Flat', 4, 100, true FROM generate_series(0, {FLATS} - 1) n; \
         INSERT INTO guestly.listings (property, listing_id) VALUES {}; ANALYZE",
        rows.join(", ")
    ));
    let listings: Vec<Value> = (0..FLATS).map(|number| json!({"id": listing(number), "units": 1})).collect();
    site.sim.post("listings", &Value::Array(listings));
}

/// One booking, so that the token is fetched and the connections are open.
pub fn warm_up(site: &Site) {
    let booking = site.paid_booking();
    site.wait_synced(&booking);
}

/// Microseconds since 1970: what the simulator's ledger and the server's clock are compared with.
pub fn micros() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_micros() as f64)
}

/// Makes unpaid bookings, in steps that a statement bears.
pub fn stock(site: &Site, count: u32) {
    let mut left = count;
    while left > 0 {
        let step = left.min(50_000);
        site.sql(&format!("SELECT count(*) FROM sample.make_bookings({step})"));
        left -= step;
    }
    site.sql("VACUUM ANALYZE bookings");
}

/// When a COMMIT was sent and when it was seen, in microseconds since 1970: the worker may be faster than its client.
#[derive(Clone, Copy)]
pub struct Commit {
    /// Whatever came of it came later.
    pub sent: f64,
    /// What is measured begins here.
    pub seen: f64,
}

/// Pays so many of the unpaid bookings in one statement.
pub fn flip(client: &mut Client, count: u32) -> Commit {
    let statement = format!(
        "UPDATE bookings SET payment_status = 'completed', status = 'confirmed', confirmed_at = now() \
         WHERE id IN (SELECT id FROM bookings WHERE payment_status = 'pending' LIMIT {count})"
    );
    let paid = client.transaction().and_then(|mut sale| {
        let paid = sale.execute(statement.as_str(), &[])?;
        assert!(paid == u64::from(count), "{paid} of {count} bookings were there to be paid");
        let sent = micros();
        sale.commit()?;
        Ok(Commit { sent, seen: micros() })
    });
    paid.unwrap_or_else(|error| panic!("the payment failed: {error}"))
}

/// Pays so many bookings and gives how many became synced in a second, from the commit to the last row.
pub fn drain(client: &mut Client, count: u32) -> f64 {
    let commit = flip(client, count);
    rate_since(client, commit, count)
}

/// Waits until `count` bookings were synced after a commit, and gives how many that is in a second.
pub fn rate_since(client: &mut Client, commit: Commit, count: u32) -> f64 {
    // The whole table is looked at only when it may be worth it: looking must not slow down what is measured.
    rate_of(client, "SELECT count(*) FROM guestly.reservations WHERE recorded_at > to_timestamp($1)", commit, count)
}

/// The same; `known` counts them, $1 being when the commit was sent, in seconds.
pub fn rate_of(client: &mut Client, known: &str, commit: Commit, count: u32) -> f64 {
    let query = "SELECT extract(epoch FROM guestly_synced_at)::float8 * 1e6 FROM bookings \
                 WHERE guestly_synced_at > to_timestamp($1) AND guestly_sync_status = 'synced' \
                 ORDER BY guestly_synced_at OFFSET $2 LIMIT 1";
    let began = Instant::now();
    let mut ended = 0.0;
    wait_until(&format!("{count} bookings to be synced"), PATIENCE, || {
        let found = number(client, known, commit.sent);
        if found >= i64::from(count) {
            let rows = client.query(query, &[&(commit.sent / 1e6), &i64::from(count - 1)]);
            ended = rows.ok().and_then(|rows| rows.first().map(|row| row.get::<_, f64>(0))).unwrap_or_default();
        } else {
            pause_before_next_look(began, found as f64, f64::from(count));
        }
        (ended > 0.0, found.to_string())
    });
    f64::from(count) / (ended - commit.seen) * 1e6
}

/// Looking takes the processor from what is measured: at the pace since `began`, half of the rest is done by the next look.
pub fn pause_before_next_look(began: Instant, found: f64, count: f64) {
    let rest = count / found.max(1.0) - 1.0;
    thread::sleep(began.elapsed().mul_f64(rest / 2.0).min(LONGEST_PAUSE));
}

fn number(client: &mut Client, query: &str, since: f64) -> i64 {
    match client.query_one(query, &[&(since / 1e6)]) {
        Ok(row) => row.get(0),
        Err(error) => panic!("{error}"),
    }
}

/// Every paid booking is synced, Guestly holds as many reservations, and no rule of the API was broken.
pub fn check(site: &Site) {
    site.wait_drained();
    let bad: i64 = site.query_one(
        "SELECT count(*) FROM bookings WHERE payment_status = 'completed' AND guestly_sync_status <> 'synced'",
    );
    assert!(bad == 0, "{bad} paid bookings are not synced");
    let paid: i64 = site.query_one("SELECT count(*) FROM bookings WHERE payment_status = 'completed'");
    let metrics = site.sim.metrics();
    assert!(
        metrics["codes"]["active_once"].as_i64() >= Some(paid),
        "{paid} were paid, Guestly holds {}",
        metrics["codes"]
    );
    assert!(metrics["answered_429"] == 0, "{} calls were answered with 429", metrics["answered_429"]);
    site.sim.assert_no_violation();
}

/// The request that the extension makes of a new booking.
pub fn request(site: &Site) -> Value {
    let booking = host::make_bookings(site, 1).remove(0);
    let preview: Value = site.query_one(&format!("SELECT guestly_preview('{booking}'::uuid)"));
    preview["body"].clone()
}

/// The process id of the worker.
pub fn worker(site: &Site) -> i32 {
    site.wait_for_worker(site)
}
