//! The set-up of a benchmark: the simulator's program, a durable server with the extension, and some hundred flats. Called by
//! the benchmarks. Must not know how the worker works.

use crate::workload::TIMEOUT;
use guestly_scenarios::{Options, Sim, Site, host};
use serde_json::{Value, json};

/// Enough to keep the simulator's calendar of each flat short, and more than a site has.
const FLATS: usize = 200;

/// Knobs of a simulator that limits nothing.
pub fn unlimited() -> Value {
    json!({"lag_scale": 0.02, "limits": false, "token_cap": 0, "max_in_flight": 64})
}

/// Starts the simulator's program, which cargo puts beside this one.
pub fn start_simulator(knobs: &Value) -> Sim {
    let own = std::env::current_exe().unwrap_or_else(|error| panic!("the path of this program is unknown: {error}"));
    Sim::start_program(&own.with_file_name("guestly-simulator"), knobs)
}

/// Starts a site with many flats and without limits on either side.
pub fn start_site(configure: impl FnOnce(Options) -> Options) -> Site {
    let site = start_small_site(configure);
    add_flats(&site);
    warm_up(&site);
    site
}

/// Starts a site with three flats and without limits on either side; the worker has its token.
pub fn start_small_site(configure: impl FnOnce(Options) -> Options) -> Site {
    let without_limits = |options: Options| {
        ["second", "minute", "hour"]
            .iter()
            .fold(options.durable().setting("shared_buffers", "128MB"), |options, window| {
                options.setting(&format!("guestly_sync.rate_per_{window}"), "0")
            })
    };
    let site = Site::open_on(start_simulator(&unlimited()), |options| configure(without_limits(options)));
    warm_up(&site);
    site
}

/// Loads `pg_stat_statements`, which counts the worker's statements too.
pub fn with_statement_counts(options: Options) -> Options {
    let preloaded = options.setting("shared_preload_libraries", "pg_stat_statements,guestly_sync");
    preloaded.setting("pg_stat_statements.track", "all")
}

/// Adds flats, each with a listing.
pub fn add_flats(site: &Site) {
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

/// Syncs one booking, so that the worker has its token and open connections.
pub fn warm_up(site: &Site) {
    let booking = site.paid_booking();
    site.wait_synced(&booking);
}

/// Pauses sending, and waits until no call is in flight.
pub fn pause(site: &Site) {
    site.sql("SELECT guestly_pause('benchmark')");
    let idle = "SELECT count(*) = 0, count(*)::text FROM guestly.queue WHERE state = 'sending'";
    site.wait_for("no call in flight", TIMEOUT, idle);
}

/// Checks the results of a run: every paid booking is synced, Guestly has as many reservations, and no rule of the API was
/// broken.
///
/// # Panics
/// If not.
pub fn verify(site: &Site) {
    site.wait_drained();
    let unsynced: i64 = site.query_one(
        "SELECT count(*) FROM bookings WHERE payment_status = 'completed' AND guestly_sync_status <> 'synced'",
    );
    assert!(unsynced == 0, "{unsynced} paid bookings are not synced");
    let paid: i64 = site.query_one("SELECT count(*) FROM bookings WHERE payment_status = 'completed'");
    let metrics = site.sim.metrics();
    assert!(
        metrics["codes"]["active_once"].as_i64() >= Some(paid),
        "{paid} were paid, Guestly has {}",
        metrics["codes"]
    );
    assert!(metrics["answered_429"] == 0, "{} calls were answered with 429", metrics["answered_429"]);
    site.sim.assert_no_violation();
}

/// The request that the extension makes of a new booking.
pub fn create_request(site: &Site) -> Value {
    let booking = host::make_bookings(site, 1).remove(0);
    let preview: Value = site.query_one(&format!("SELECT guestly_preview('{booking}'::uuid)"));
    preview["body"].clone()
}

/// The process id of the worker.
pub fn worker_pid(site: &Site) -> i32 {
    site.wait_for_worker(site)
}
