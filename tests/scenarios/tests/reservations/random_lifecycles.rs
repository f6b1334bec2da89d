//! Random lifecycles of bookings: paid, moved, enlarged, cancelled and rebooked, with and without faults. In the end
//! Guestly's reservations equal the bookings. Choices come from a seed; set `GUESTLY_LIFECYCLE_SEEDS=100-119` for others. A
//! failing seed repeats the choices, not the timing.

use guestly_scenarios::{Options, SOON, Site, host, wait_until};
use serde_json::{Value, json};
use std::ops::RangeInclusive;

const BOOKINGS: u32 = 8;
const ROUNDS: u32 = 7;

/// The requested seeds, or these.
fn seeds(usual: RangeInclusive<u64>) -> RangeInclusive<u64> {
    let Ok(wanted) = std::env::var("GUESTLY_LIFECYCLE_SEEDS") else { return usual };
    let (first, last) = wanted.split_once('-').unwrap_or((&wanted, &wanted));
    let number = |text: &str| text.trim().parse::<u64>().unwrap();
    assert!(number(first) <= number(last), "no seed in {wanted}");
    number(first)..=number(last)
}

/// Splitmix64: the same choices for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)) % sides
    }
}

/// One change of a booking, and how many calls it can need. Each booking has a year of its own to move in.
fn change(dice: &mut Dice, place: usize) -> (String, u64) {
    match dice.roll(9) {
        0 => {
            let (first, nights) = (dice.roll(300), 1 + dice.roll(3));
            let day = format!("DATE '2030-01-01' + {}", 365 * place as u64 + first);
            (format!("check_in_date = {day}, check_out_date = {day} + {nights}"), 1)
        }
        // The notes contain the number of children.
        1 => (format!("adults = {}, children = {}", 1 + dice.roll(2), dice.roll(3)), 2),
        2 => {
            let slug = host::LISTINGS[usize::try_from(dice.roll(3)).unwrap()].0;
            (format!("property_id = (SELECT id FROM properties WHERE slug = '{slug}')"), 1)
        }
        3 => ("status = 'cancelled', payment_status = 'refunded'".to_owned(), 1),
        4 => ("status = 'pending', payment_status = 'refunded'".to_owned(), 1),
        // A rebooking needs a create, which is no change, and notes.
        5 => ("status = 'confirmed', payment_status = 'completed'".to_owned(), 1),
        7 => (format!("special_requests = nullif('Bed {}', 'Bed 0')", dice.roll(3)), 1),
        6 => (format!("guest_phone = '+49 30 555 01{:02}'", dice.roll(100)), 0),
        _ => ("updated_at = now()".to_owned(), 0),
    }
}

/// The differences between a booking and Guestly; empty if there are none.
fn difference(site: &Site, id: &str) -> String {
    let row = site.row(id);
    let alive = row["status"] == "confirmed";
    let mut held = site.sim.state();
    held.retain(|held| held["originId"] == id && held["status"] == "confirmed");
    if held.len() != usize::from(alive) {
        return format!("{} active reservations of a booking that is {}", held.len(), row["status"]);
    }
    let Some(held) = held.first() else { return String::new() };
    let listing = host::LISTINGS.iter().find(|(slug, _)| row["slug"] == *slug).map_or(Value::Null, |(_, id)| json!(id));
    let party = &held["numberOfGuests"];
    let here = [
        &row["check_in_date"],
        &row["check_out_date"],
        &row["adults"],
        &row["children"],
        &listing,
        &row["guestly_reservation_id"],
    ];
    let there = [
        &held["checkInDateLocalized"],
        &held["checkOutDateLocalized"],
        &party["numberOfAdults"],
        &party["numberOfChildren"],
        &held["listingId"],
        &held["reservationId"],
    ];
    let notes: Vec<&str> = held["notes"]["other"].as_str().unwrap_or_default().lines().collect();
    let requests = row["special_requests"].as_str().map(|text| format!("Special requests: {text}"));
    if notes.iter().find(|line| line.starts_with("Special")).map(|line| (*line).to_owned()) != requests {
        return format!("{requests:?} here, {notes:?} there");
    }
    if here == there { String::new() } else { format!("{here:?} here, {there:?} there") }
}

/// A site whose mapping has the notes.
fn site(more: impl FnOnce(Options) -> Options) -> Site {
    let site = Site::bare_with(more);
    host::create_extension(&site);
    host::map_listings(&site);
    site
}

/// Runs the lifecycles; gives the bookings and the maximum number of change calls.
fn live(site: &Site, seed: u64) -> (Vec<String>, u64) {
    let mut dice = Dice(seed);
    let ids = site.paid_bookings(BOOKINGS);
    // Notes after each create.
    let mut most = u64::from(BOOKINGS);
    for round in 0..ROUNDS {
        for (place, id) in ids.iter().enumerate() {
            let (columns, calls) = change(&mut dice, place);
            most += calls;
            site.sql(&format!("UPDATE bookings SET {columns} WHERE id = '{id}'"));
        }
        if dice.roll(2) == 0 {
            let left = 3 + u64::from(round);
            let query = format!("SELECT count(*) <= {left}, count(*)::text FROM guestly.queue WHERE state <> 'failed'");
            site.wait_for("most bookings to be done", SOON * 2, &query);
        }
    }
    (ids, most)
}

/// Retries failed bookings until nothing is left to do.
fn rest(site: &Site, seed: u64) {
    let busy = "SELECT (SELECT count(*) FROM guestly.queue WHERE state <> 'failed') + (SELECT count(*) FROM guestly.changes) = 0, \
                (SELECT string_agg(concat_ws(' ', state, operation, error_class, error), '; ') FROM guestly.queue)";
    let mut failed = 1;
    wait_until(&format!("nothing left to do, seed {seed}"), SOON * 6, || {
        site.wait_for("no work", SOON * 4, busy);
        failed = site.query_one::<i64>("SELECT guestly_retry_failed()");
        (
            failed == 0,
            site.query_one::<String>(
                "SELECT coalesce(string_agg(DISTINCT error, '; '), 'none') FROM guestly.attempts WHERE error_class = 'refused'",
            ),
        )
    });
}

fn assert_lived(site: &Site, ids: &[String], seed: u64) {
    for id in ids {
        let found = difference(site, id);
        assert!(found.is_empty(), "seed {seed}, booking {id}: {found}\n{:?}", site.log_of(id));
    }
    site.sim.assert_no_violation();
}

#[test]
fn without_faults_no_call_is_unnecessary() {
    for seed in seeds(1..=3) {
        let site = site(|options| options);
        let (ids, most) = live(&site, seed);
        rest(&site, seed);
        assert_lived(&site, &ids, seed);
        let [updates, reads, searches] = ["update", "get", "search"].map(|operation| site.sim.calls(operation));
        assert!(updates <= most, "seed {seed}: {updates} changes, {most} were needed at most");
        assert!(
            reads <= updates && searches == 0,
            "seed {seed}: {reads} reads and {searches} look-ups, {updates} changes"
        );
        let early = site.sim.violations();
        assert!(early.is_empty(), "seed {seed}: {early:?}");
    }
}

#[test]
fn with_faults_both_sides_end_equal() {
    for seed in seeds(11..=13) {
        let site = site(|options| options.setting("guestly_sync.request_timeout", "1s"));
        let rule = |operation: &str, prob: f64, effect: Value| json!({"match": {"operation": operation, "prob": prob}, "effect": effect});
        site.sim.fault(json!([
            rule("create", 0.2, json!({"kind": "drop_after_accept", "how": "rst"})),
            rule("create", 0.1, json!({"kind": "status", "code": 502})),
            rule("update", 0.1, json!({"kind": "drop_after_accept", "how": "fin"})),
            rule("update", 0.1, json!({"kind": "drop_before_accept", "how": "rst"})),
            rule("update", 0.1, json!({"kind": "status", "code": 503, "committed": true})),
            rule("update", 0.15, json!({"kind": "status_silent_ignore"})),
            rule("get", 0.15, json!({"kind": "status", "code": 500})),
            rule("search", 0.1, json!({"kind": "garbage", "shape": "html"})),
        ]));
        let (ids, _) = live(&site, seed);
        site.sim.clear_faults();
        rest(&site, seed);
        assert_lived(&site, &ids, seed);
    }
}
