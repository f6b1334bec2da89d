//! Latency from the commit of a payment to the call, and the duration of a burst. The bounds are loose because the machine
//! may be busy; `--nocapture` prints the measurements.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests, too")]

use guestly_scenarios::{SOON, Site, host, wait_until};
use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const SAMPLES: usize = 50;

fn micros() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap()
}

#[test]
fn a_commit_is_followed_by_its_call_at_once() {
    let site = Site::open_with(guestly_scenarios::Options::durable);
    // The first one fetches the token.
    let first = site.paid_booking();
    site.wait_synced(&first);
    let ids = host::make_bookings(&site, u32::try_from(SAMPLES).unwrap());
    let mut session = site.client();
    let pay = session.prepare("UPDATE bookings SET payment_status = 'completed' WHERE id = $1::text::uuid").unwrap();
    let mut committed = HashMap::new();
    for id in &ids {
        let mut sale = session.transaction().unwrap();
        assert_eq!(sale.execute(&pay, &[id]).unwrap(), 1);
        // Before the commit is sent: the measurement includes the commit itself.
        let at = micros();
        sale.commit().unwrap();
        committed.insert(id.clone(), at);
        // One by one, so that no sale waits behind another.
        site.wait_synced(id);
    }
    let calls = site.sim.call_log(Some("create"));
    let mut delays: Vec<i64> = calls
        .iter()
        .filter_map(|call| Some(call["wall_us"].as_i64()? - committed.get(call["originId"].as_str()?)?))
        .collect();
    delays.sort_unstable();
    assert_eq!(delays.len(), SAMPLES, "each booking is created by one call");
    let (p50, p95) = (delays[SAMPLES / 2], delays[SAMPLES * 95 / 100]);
    println!("commit to request: p50 {} ms, p95 {} ms", p50 as f64 / 1000.0, p95 as f64 / 1000.0);
    assert!(delays[0] >= 0, "a call left before its payment was committed");
    // A call that its commit does not trigger waits for the poll interval of a minute.
    assert!(p50 < 2_000_000, "half of the calls took longer than {p50} µs");
    site.sim.assert_no_violation();
}

#[test]
fn a_thousand_bookings_drain() {
    let site = Site::open_with(|options| options.setting("guestly_sync.concurrency", "8"));
    let ids = host::make_bookings(&site, 1_000);
    let began = Instant::now();
    host::pay(&site, &ids);
    let update = began.elapsed();
    let synced = "SELECT count(*) FROM bookings WHERE guestly_sync_status = 'synced' AND guestly_sync_attempts = 1";
    let took = wait_until("1,000 bookings to be synced", Duration::from_secs(120), || {
        let found = site.query_one::<i64>(synced);
        (found == 1_000, found.to_string())
    });
    println!("1,000 bookings: paid in {update:?}, drained {took:?} later");
    site.wait_drained();
    let metrics = site.sim.metrics();
    assert_eq!((site.sim.state().len(), site.sim.calls("create"), site.sim.calls("search")), (1_000, 1_000, 0));
    assert_eq!((&metrics["codes"]["active_once"], &metrics["tokens_issued"]), (&1_000.into(), &1.into()));
    assert!(metrics["max_in_flight"].as_u64().unwrap() <= 8, "{}", metrics["max_in_flight"]);
    // Calls are ordered by arrival, except among those in flight together.
    let codes: HashMap<String, String> = site
        .query("SELECT booking_reference, check_in_date::text FROM bookings", &[])
        .iter()
        .map(|row| (row.get(0), row.get(1)))
        .collect();
    let mut calls = site.sim.call_log(Some("create"));
    calls.sort_by_key(|call| call["seq"].as_u64());
    let arrivals: Vec<&String> = calls.iter().map(|call| &codes[call["confirmationCode"].as_str().unwrap()]).collect();
    // Threads overtake each other, but none falls behind by half of the drain.
    let (last_of_first, first_of_last) = (arrivals[..250].iter().max(), arrivals[750..].iter().min());
    assert!(
        last_of_first <= first_of_last,
        "a later arrival was sent much earlier: {last_of_first:?} {first_of_last:?}"
    );
    site.sim.assert_no_violation();
}

#[test]
fn a_burst_on_a_new_site_uses_the_indexes() {
    // Without ANALYZE the worker keeps the plans that it made for empty tables.
    let site = Site::open_with(|options| options.setting("autovacuum", "off"));
    let first = site.paid_booking();
    site.wait_synced(&first);
    let ids = site.paid_bookings(1_000);
    site.wait_for_status(&ids, "synced");
    site.wait_drained();
    let table = "FROM pg_stat_user_tables WHERE relid = 'guestly.queue'::regclass";
    let counted = format!("SELECT n_tup_del > 1000, n_tup_del::text {table}");
    site.wait_for("the statistics of the burst", SOON, &counted);
    let read: i64 = site.query_one(&format!("SELECT seq_tup_read + idx_tup_fetch {table}"));
    println!("{read} rows of the queue were read for {} bookings", ids.len());
    assert!(read < 50_000, "{read} rows of the queue were read for {} bookings", ids.len());
}
