//! One statement that pays a hundred thousand bookings: its cost, how soon the first are sent, and the worker's memory.

use guestly_scenarios::process::memory_of;
use guestly_scenarios::{SOON, Site, host, wait_until};
use std::time::{Duration, Instant};

const MANY: u32 = 100_000;
const FEW: u32 = 1_000;

/// Pays these bookings in one statement; microseconds for each.
fn cost_per_row(site: &Site, first: u32, count: u32) -> f64 {
    let mut session = site.client();
    session.batch_execute("SET work_mem = '256MB'").unwrap_or_else(|error| panic!("{error}"));
    let pay = format!(
        "UPDATE bookings SET payment_status = 'completed', status = 'confirmed' \
         WHERE substr(booking_reference, 6)::integer BETWEEN {first} AND {}",
        first + count - 1
    );
    let began = Instant::now();
    let paid = session.execute(pay.as_str(), &[]).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(paid, u64::from(count));
    began.elapsed().as_secs_f64() * 1e6 / f64::from(count)
}

#[test]
fn payment_cost_per_row_does_not_grow_with_the_batch() {
    let site = Site::open_with(|options| {
        options
            .setting("guestly_sync.concurrency", "8")
            .setting("max_wal_size", "4GB")
            .setting("shared_buffers", "256MB")
    });
    site.sql("SELECT guestly_pause('until the statements are timed')");
    host::make_bookings(&site, MANY + 5 * FEW);
    site.sql("ANALYZE bookings; CHECKPOINT");
    // The best of several small ones: the first also loads the library and plans the statements.
    let few = (0..5).map(|round| cost_per_row(&site, 1 + round * FEW, FEW)).fold(f64::MAX, f64::min);
    let many = cost_per_row(&site, 1 + 5 * FEW, MANY);
    println!("{few:.1} µs a booking for {FEW}, {many:.1} µs for {MANY}");
    // A cost that grew with the number of rows would be a hundred times as high.
    assert!(many <= 4.0 * few, "{many:.1} µs a booking for {MANY}, {few:.1} µs for {FEW}");
    let worker = site.wait_for_worker(&site);
    site.sql("SELECT guestly_resume()");
    site.sim.wait_for_calls("create", 500, SOON);
    let claimed = "SELECT count(*) FROM guestly.queue WHERE state = 'ready'";
    let left: i64 = site.query_one(claimed);
    assert!(left > i64::from(MANY) / 2, "the first are sent when {left} are not yet claimed");
    let before = memory_of(worker);
    wait_until("some thousands more", Duration::from_secs(120), || {
        let calls = site.sim.calls("create");
        (calls >= 4000, calls.to_string())
    });
    let after = memory_of(worker);
    println!("the worker's memory: {before} kB after 500 calls, {after} kB after 4000");
    assert!(after < before + 4096, "the worker grew from {before} to {after} kB");
    site.alter_system("guestly_sync.enabled", "off");
    // From here on nothing is claimed, and calls in flight finish.
    site.worker_took_a_turn();
    let in_order = "SELECT coalesce(max(b.check_in_date) <= (SELECT min(q.arrival) FROM guestly.queue q), true) \
                    FROM bookings b WHERE b.guestly_sync_status = 'synced'";
    site.wait_for("the calls in flight", SOON, "SELECT sending = 0, sending::text FROM guestly.status");
    assert!(site.query_one::<bool>(in_order), "nearest arrivals go first");
    site.sim.assert_no_violation();
}
