//! Whether a large table or a long queue slows anything down. Called by `main`.

use crate::plan::Plan;
use crate::raw::Raw;
use crate::row::{Goal, Row, median};
use crate::scene::{self, Commit, micros};
use guestly_scenarios::Site;
use postgres::Client;

const NAME: &str = "scale";
/// The worker's own claims, as the server counted them.
const CLAIMS: &str = "SELECT sum(total_exec_time) / sum(calls) FROM pg_stat_statements \
                      WHERE query LIKE '%ready AS%FROM guestly.queue%SKIP LOCKED%'";

/// What writing the row itself takes, without the worker but with the extension's indexes: part of each booking's time in a
/// drain.
const PLAIN_UPDATE: &str = "the five columns of a row written by plain SQL";

/// What one table size gave.
#[derive(Default)]
struct Found {
    claims: Vec<f64>,
    rates: Vec<f64>,
}

/// The figure.
pub fn measure(plan: &Plan) -> Vec<Row> {
    let site = scene::open(|options| scene::counting(options).setting("guestly_sync.concurrency", "15"));
    site.sql("CREATE EXTENSION pg_stat_statements");
    let raw = Raw::new(&site);
    let mut client = site.client();
    let (few, many) = plan.size((100, 100_000), (100, 1_000));
    let drained = plan.size(5_000, 300);
    let raw_rate = raw.rate(15, plan.size(4_000, 200));
    scene::stock(&site, 1_000);
    let small = rounds(plan, &site, &mut client, few, few);
    let filled = rounds(plan, &site, &mut client, drained, drained);
    let narrow_update = updates(plan, &site, &mut client);
    scene::stock(&site, plan.size(1_000_000, 5_000));
    let wide = rounds(plan, &site, &mut client, few, few);
    let huge = rounds(plan, &site, &mut client, many, drained);
    let wide_update = updates(plan, &site, &mut client);
    site.sql("SELECT guestly_resume()");
    if plan.smoke {
        scene::check(&site);
    }
    let base = median(&filled.rates);
    let narrow = median(&narrow_update);
    let update = |bookings: &str, times| Row::new(NAME, &format!("{bookings} bookings: {PLAIN_UPDATE}"), "µs", times);
    let size = |bookings: &str, queued: u32| format!("{bookings} bookings, {queued} queued");
    let large = plan.size("1,000,000", "5,000");
    let claim = |case: String, found: &Found| Row::new(NAME, &format!("{case}: a claim"), "ms", found.claims.clone());
    let rate = |case: String, found: &Found| Row::new(NAME, &format!("{case}: drain"), "/s", found.rates.clone());
    vec![
        claim(size("1,000", few), &small),
        claim(size(large, few), &wide).limit("small case", median(&small.claims)),
        claim(size(large, many), &huge).limit("small case", median(&small.claims)),
        rate(size("1,000", few), &small).limit("raw requests", raw_rate),
        rate(size("few thousand", drained), &filled).limit("raw requests", raw_rate),
        rate(size(large, few), &wide).limit("small case", median(&small.rates)).goal(Goal::RatioAtLeast(1.0 / 1.2)),
        rate(size(large, many), &huge).limit("small case", base).goal(Goal::RatioAtLeast(1.0 / 1.2)),
        update("few thousand", narrow_update),
        update(large, wide_update).limit("small case", narrow),
    ]
}

/// Fills the queue to `queued` while nothing is sent, then times the claims and the first `drained` bookings.
fn rounds(plan: &Plan, site: &Site, client: &mut Client, queued: u32, drained: u32) -> Found {
    let mut found = Found::default();
    for _ in 0..plan.rounds() {
        site.sql("SELECT guestly_pause('bench')");
        let waiting: i64 = site.query_one("SELECT count(*) FROM guestly.queue");
        let missing = queued.saturating_sub(u32::try_from(waiting).unwrap_or_default());
        let unpaid: i64 = site.query_one("SELECT count(*) FROM bookings WHERE payment_status = 'pending'");
        if unpaid < i64::from(missing) {
            scene::stock(site, missing);
        }
        scene::flip(client, missing);
        // What a million rows left to be written to the disk is not what is measured.
        site.sql("CHECKPOINT");
        site.sql("SELECT pg_stat_statements_reset()");
        let sent = micros();
        site.sql("SELECT guestly_resume()");
        found.rates.push(scene::rate_since(client, Commit { sent, seen: sent }, drained));
        found.claims.push(site.query_one(CLAIMS));
    }
    found
}

/// Microseconds a row takes whose five columns are written by plain SQL: the rows of the last drain, in its order.
fn updates(plan: &Plan, site: &Site, client: &mut Client) -> Vec<f64> {
    // A drain that goes on would be measured too.
    site.sql("SELECT guestly_pause('bench')");
    let calling = "SELECT count(*) = 0, count(*)::text FROM guestly.queue WHERE state = 'sending'";
    site.wait_for("no call in flight", scene::PATIENCE, calling);
    let count = plan.size(2_000, 100);
    let write = "DO $$ DECLARE one uuid; BEGIN FOR one IN SELECT id FROM chosen LOOP \
                 UPDATE bookings SET guestly_sync_status = 'synced', guestly_reservation_id = one::text, \
                 guestly_sync_error = NULL, guestly_synced_at = clock_timestamp(), guestly_sync_attempts = 1 WHERE id = one; \
                 END LOOP; END $$";
    let time = |client: &mut Client| -> Result<f64, postgres::Error> {
        let mut change = client.transaction()?;
        change.batch_execute(&format!(
            "CREATE TEMP TABLE chosen ON COMMIT DROP AS SELECT id FROM (SELECT id, guestly_synced_at FROM bookings \
             WHERE guestly_synced_at IS NOT NULL ORDER BY guestly_synced_at DESC LIMIT {count}) last ORDER BY guestly_synced_at"
        ))?;
        site.sql("CHECKPOINT");
        let began = micros();
        change.batch_execute(write)?;
        let took = micros() - began;
        change.rollback()?;
        Ok(took / f64::from(count))
    };
    (0..plan.rounds()).map(|_| time(client).unwrap_or_else(|error| panic!("{error}"))).collect()
}
