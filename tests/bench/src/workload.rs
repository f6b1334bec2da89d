//! The load: many bookings paid at once, and the rate at which they become synced. Called by the benchmarks. Must not know
//! how the worker works: progress is read from the simulator and from the bookings.

use guestly_scenarios::{Site, wait_until};
use postgres::Client;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Longer than any workload takes.
pub const TIMEOUT: Duration = Duration::from_secs(900);
/// Longest pause between two polls of a drain's progress.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Microseconds since 1970, comparable with the simulator's call log and with the server's clock.
pub fn micros() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_micros() as f64)
}

/// Inserts unpaid bookings, in batches that a statement can handle.
pub fn insert_unpaid(site: &Site, count: u32) {
    let mut left = count;
    while left > 0 {
        let batch = left.min(50_000);
        site.sql(&format!("SELECT count(*) FROM sample.make_bookings({batch})"));
        left -= batch;
    }
    site.sql("VACUUM ANALYZE bookings");
}

/// The two ends of a COMMIT as its client saw them, in microseconds since 1970. The worker may be faster than the client.
#[derive(Clone, Copy, Debug)]
pub struct Commit {
    /// Just before it was sent.
    pub sent: f64,
    /// Just after its answer came.
    pub seen: f64,
}

/// Pays `count` of the unpaid bookings in one statement.
///
/// # Panics
/// If there are not as many.
pub fn pay(session: &mut Client, count: u32) -> Commit {
    let statement = format!(
        "UPDATE bookings SET payment_status = 'completed', status = 'confirmed', confirmed_at = now() \
         WHERE id IN (SELECT id FROM bookings WHERE payment_status = 'pending' LIMIT {count})"
    );
    let commit = session.transaction().and_then(|mut sale| {
        let paid = sale.execute(statement.as_str(), &[])?;
        assert!(paid == u64::from(count), "only {paid} of {count} bookings are unpaid");
        let sent = micros();
        sale.commit()?;
        Ok(Commit { sent, seen: micros() })
    });
    commit.unwrap_or_else(|error| panic!("the payment failed: {error}"))
}

/// Bookings that are being synced.
#[derive(Debug)]
pub struct Burst {
    begin: Commit,
    creates_before: u64,
    count: u32,
}

impl Burst {
    /// Pays `count` of the unpaid bookings.
    pub fn pay(site: &Site, session: &mut Client, count: u32) -> Self {
        let creates_before = site.sim.calls("create");
        Self { begin: pay(session, count), creates_before, count }
    }

    /// Resumes sending; measures the first `count` of the bookings that were queued meanwhile.
    pub fn resume(site: &Site, count: u32) -> Self {
        let creates_before = site.sim.calls("create");
        let now = micros();
        site.sql("SELECT guestly_resume()");
        Self { begin: Commit { sent: now, seen: now }, creates_before, count }
    }

    /// Waits until the bookings are synced. Returns how many became synced in a second, from the commit to the last row.
    pub fn rate(&self, site: &Site, session: &mut Client) -> f64 {
        self.rate_while(site, session, || {})
    }

    /// The same; `check` runs before each poll and may panic.
    pub fn rate_while(&self, site: &Site, session: &mut Client, mut check: impl FnMut()) -> f64 {
        let began = Instant::now();
        // Polling the simulator leaves the server alone; the whole table is read only when all may be done.
        wait_until(&format!("{} creates", self.count), TIMEOUT, || {
            check();
            let creates = site.sim.calls("create") - self.creates_before;
            if creates < u64::from(self.count) {
                sleep_half_the_rest(began, creates as f64, f64::from(self.count));
            }
            (creates >= u64::from(self.count), creates.to_string())
        });
        let mut ended = None;
        wait_until(&format!("{} bookings to be synced", self.count), TIMEOUT, || {
            ended = self.ended(session);
            (ended.is_some(), "fewer".to_owned())
        });
        f64::from(self.count) / (ended.unwrap_or(f64::NAN) - self.begin.seen) * 1e6
    }

    /// When the last of the bookings became synced, in microseconds since 1970.
    fn ended(&self, session: &mut Client) -> Option<f64> {
        let query = "SELECT extract(epoch FROM guestly_synced_at)::float8 * 1e6 FROM bookings \
                     WHERE guestly_synced_at > to_timestamp($1) AND guestly_sync_status = 'synced' \
                     ORDER BY guestly_synced_at OFFSET $2 LIMIT 1";
        let row = session.query_opt(query, &[&(self.begin.sent / 1e6), &i64::from(self.count - 1)]);
        row.unwrap_or_else(|error| panic!("{error}")).map(|row| row.get(0))
    }
}

/// Pays `count` bookings and returns how many became synced in a second.
pub fn drain(site: &Site, session: &mut Client, count: u32) -> f64 {
    Burst::pay(site, session, count).rate(site, session)
}

/// Sleeps until half of the rest should be done, at the pace since `began`: polling takes the processor from the product.
fn sleep_half_the_rest(began: Instant, done: f64, count: f64) {
    let rest = count / done.max(1.0) - 1.0;
    thread::sleep(began.elapsed().mul_f64(rest / 2.0).min(LONGEST_PAUSE));
}
