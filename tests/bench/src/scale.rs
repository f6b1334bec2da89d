//! Measures claims and drains with a large table and a long queue, against small ones. Called by `main` and `compare`.

use crate::config::Config;
use crate::fixture;
use crate::measurement::{Measurement, Target, median};
use crate::raw_client::RawClient;
use crate::workload::{Burst, insert_unpaid, micros, pay};
use guestly_scenarios::Site;
use postgres::Client;

/// The benchmark's name.
pub const NAME: &str = "scale";

/// Milliseconds of the worker's claims, as the server counted them. The claim is the only statement on the queue that locks a
/// limited number of rows.
const CLAIM_MILLIS: &str = "SELECT sum(total_exec_time) / sum(calls) FROM pg_stat_statements \
                            WHERE query LIKE '%FROM guestly.queue%LIMIT%FOR UPDATE SKIP LOCKED%'";

/// The cost of the write-back alone, with the extension's indexes but without the worker: part of each booking's time in a
/// drain.
const PLAIN_UPDATE: &str = "plain SQL update of the five sync columns";

/// Bookings of the small case, and how many of them are queued at once.
pub const SMALL: (u32, u32) = (1_000, 100);

/// One size of the table and the queue.
#[derive(Default)]
struct Size {
    bookings: &'static str,
    queued: u32,
    claims: Vec<f64>,
    rates: Vec<f64>,
}

impl Size {
    fn name(&self) -> String {
        format!("{} bookings, {} queued", self.bookings, self.queued)
    }

    fn claim(&self) -> Measurement {
        Measurement::new(NAME, &format!("{}: claim", self.name()), "ms", self.claims.clone())
    }

    fn drain(&self) -> Measurement {
        Measurement::new(NAME, &format!("{}: drain", self.name()), "/s", self.rates.clone())
    }
}

/// Measures.
pub fn measure(config: &Config) -> Vec<Measurement> {
    let site = start_site(|options| options);
    let mut session = site.client();
    let large = config.size("1,000,000", "5,000");
    let (few, many) = config.size((SMALL.1, 100_000), (SMALL.1, 1_000));
    let burst = config.size(5_000, 300);
    let raw_rate = RawClient::new(&site).rate(15, config.size(4_000, 200));
    insert_unpaid(&site, SMALL.0);
    let mut size = |bookings, queued, drained| measure_size(config, &site, &mut session, bookings, queued, drained);
    let small = size("1,000", few, few);
    let filled = size("few thousand", burst, burst);
    let small_update = update_micros(config, &site);
    insert_unpaid(&site, config.size(1_000_000, 5_000));
    let wide = size(large, few, few);
    let full = size(large, many, burst);
    let large_update = update_micros(config, &site);
    site.sql("SELECT guestly_resume()");
    if config.smoke {
        fixture::verify(&site);
    }
    let update =
        |bookings: &str, times| Measurement::new(NAME, &format!("{bookings} bookings: {PLAIN_UPDATE}"), "µs", times);
    let no_slower = |one: Measurement, rates: &[f64]| {
        one.baseline("small case", median(rates)).target(Target::RatioAtLeast(1.0 / 1.2))
    };
    let small_update_median = median(&small_update);
    vec![
        small.claim(),
        wide.claim().baseline("small case", median(&small.claims)),
        full.claim().baseline("small case", median(&small.claims)),
        small.drain().baseline("raw requests", raw_rate),
        filled.drain().baseline("raw requests", raw_rate),
        no_slower(wide.drain(), &small.rates),
        no_slower(full.drain(), &filled.rates),
        update("few thousand", small_update),
        update(large, large_update).baseline("small case", small_update_median),
    ]
}

/// Starts a site whose statements are counted, 15 calls in flight.
pub fn start_site(configure: impl FnOnce(guestly_scenarios::Options) -> guestly_scenarios::Options) -> Site {
    let site = fixture::start_site(|options| {
        configure(fixture::with_statement_counts(options).setting("guestly_sync.concurrency", "15"))
    });
    site.sql("CREATE EXTENSION pg_stat_statements");
    site
}

fn measure_size(
    config: &Config,
    site: &Site,
    session: &mut Client,
    bookings: &'static str,
    queued: u32,
    drained: u32,
) -> Size {
    let mut size = Size { bookings, queued, ..Size::default() };
    for _ in 0..config.rounds() {
        let round = round(site, session, queued, drained);
        size.rates.push(round.rate);
        size.claims.push(round.claim_millis);
    }
    size
}

/// Results of one round.
pub struct Round {
    /// Bookings synced in a second.
    pub rate: f64,
    /// The mean time of a claim.
    pub claim_millis: f64,
}

/// Fills the queue to `queued` while sending is paused, then times the claims and the first `drained` bookings.
pub fn round(site: &Site, session: &mut Client, queued: u32, drained: u32) -> Round {
    fixture::pause(site);
    let waiting: i64 = site.query_one("SELECT count(*) FROM guestly.queue");
    let missing = queued.saturating_sub(u32::try_from(waiting).unwrap_or_default());
    let unpaid: i64 = site.query_one("SELECT count(*) FROM bookings WHERE payment_status = 'pending'");
    if unpaid < i64::from(missing) {
        insert_unpaid(site, missing);
    }
    pay(session, missing);
    // A million rows that still have to be written to the disk would be measured too.
    site.sql("CHECKPOINT");
    site.sql("SELECT pg_stat_statements_reset()");
    let rate = Burst::resume(site, drained).rate(site, session);
    Round { rate, claim_millis: site.query_one(CLAIM_MILLIS) }
}

/// Microseconds for each row whose five columns are written by plain SQL: the rows of the last drain, in its order.
fn update_micros(config: &Config, site: &Site) -> Vec<f64> {
    fixture::pause(site);
    let count = config.size(2_000, 100);
    let write = "DO $$ DECLARE one uuid; BEGIN FOR one IN SELECT id FROM chosen LOOP \
                 UPDATE bookings SET guestly_sync_status = 'synced', guestly_reservation_id = one::text, \
                 guestly_sync_error = NULL, guestly_synced_at = clock_timestamp(), guestly_sync_attempts = 1 WHERE id = one; \
                 END LOOP; END $$";
    let mut session = site.client();
    let mut time = || -> Result<f64, postgres::Error> {
        let mut change = session.transaction()?;
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
    (0..config.rounds()).map(|_| time().unwrap_or_else(|error| panic!("{error}"))).collect()
}
