//! The time from the commit of a payment to the request at the API, on an idle site. Called by `main`, `peers` and `compare`.

use crate::config::Config;
use crate::fixture;
use crate::measurement::{Measurement, Target, percentile};
use crate::raw_client::RawClient;
use crate::workload::{Commit, micros};
use guestly_scenarios::{Options, SOON, Site, host, wait_until};
use postgres::{Client, Statement};
use std::collections::HashMap;
use std::path::Path;
use std::thread;
use std::time::Duration;

/// The benchmark's name.
pub const NAME: &str = "commit to request";

const PAY: &str = "UPDATE bookings SET payment_status = 'completed', status = 'confirmed' WHERE id = $1::text::uuid";
/// A file system in memory, where there is one.
const MEMORY: &str = "/dev/shm";
/// Long enough for the worker to be idle again.
const PAUSE: Duration = Duration::from_millis(3);

/// Times of one round, in milliseconds.
#[derive(Default)]
struct Round {
    payments: Latencies,
    round_trips: Vec<f64>,
    commits: Vec<f64>,
}

/// Milliseconds from a COMMIT to its request, one for each payment.
#[derive(Debug, Default)]
pub struct Latencies {
    /// From when the client saw the COMMIT's answer.
    pub seen: Vec<f64>,
    /// From when the client sent the COMMIT.
    pub sent: Vec<f64>,
}

/// Measures. The intent of a call is committed before the call leaves, so the disk has its share; a second site, with its
/// data in memory, shows how large it is.
pub fn measure(config: &Config) -> Vec<Measurement> {
    let mut measurements = measure_site(config, "", &fixture::start_small_site(|options| options));
    if Path::new(MEMORY).is_dir() {
        let site = fixture::start_small_site(Options::in_memory);
        measurements.extend(measure_site(config, "data in memory: ", &site));
    }
    measurements
}

fn measure_site(config: &Config, prefix: &str, site: &Site) -> Vec<Measurement> {
    site.sql("CREATE TABLE sample.commits (n integer)");
    let raw = RawClient::new(site);
    let rounds: Vec<Round> = (0..config.rounds()).map(|_| round(site, &raw, samples(config))).collect();
    fixture::verify(site);
    let of = |pick: fn(&Round) -> &Vec<f64>, percent| rounds.iter().map(|r| percentile(pick(r), percent)).collect();
    let case = |case, pick, percent| Measurement::new(NAME, &format!("{prefix}{case}"), "ms", of(pick, percent));
    let round_trip = case("raw loopback round trip, p50", |round| &round.round_trips, 50);
    vec![
        case("COMMIT seen to request, p50", |round| &round.payments.seen, 50)
            .baseline("raw round trip", round_trip.median())
            .target(Target::AtMost(1.0))
            .target(Target::RatioAtMost(8.0)),
        case("COMMIT seen to request, p99", |round| &round.payments.seen, 99).target(Target::AtMost(3.0)),
        case("COMMIT sent to request, p50", |round| &round.payments.sent, 50),
        case("COMMIT sent to request, p99", |round| &round.payments.sent, 99),
        round_trip,
        case("raw loopback round trip, p99", |round| &round.round_trips, 99),
        case("one commit of one row, p50", |round| &round.commits, 50),
        case("one commit of one row, p99", |round| &round.commits, 99),
    ]
}

/// Payments of a round.
pub fn samples(config: &Config) -> u32 {
    config.size(300, 20)
}

fn round(site: &Site, raw: &RawClient, samples: u32) -> Round {
    let mut payments = Payments::new(site, samples);
    let mut other = site.client();
    let mut round = Round::default();
    while payments.pay_next() {
        thread::sleep(PAUSE);
        round.round_trips.push(raw.round_trip() / 1000.0);
        round.commits.push(commit_millis(&mut other));
    }
    Round { payments: payments.latencies(), ..round }
}

/// The time of a commit, which the worker too has to wait for.
fn commit_millis(session: &mut Client) -> f64 {
    let took = session.transaction().and_then(|mut row| {
        row.execute("INSERT INTO sample.commits VALUES (1)", &[])?;
        let began = micros();
        row.commit()?;
        Ok((micros() - began) / 1000.0)
    });
    took.unwrap_or_else(|error| panic!("the commit failed: {error}"))
}

/// Payments one by one, and the times of their requests, whoever makes them.
pub struct Payments<'a> {
    site: &'a Site,
    session: Client,
    pay: Statement,
    ids: Vec<String>,
    /// By booking.
    commits: HashMap<String, Commit>,
}

impl<'a> Payments<'a> {
    /// Makes the bookings.
    pub fn new(site: &'a Site, samples: u32) -> Self {
        let ids = host::make_bookings(site, samples);
        let mut session = site.client();
        let pay = session.prepare(PAY).unwrap_or_else(|error| panic!("{error}"));
        Self { site, session, pay, ids, commits: HashMap::new() }
    }

    /// Pays the next booking and waits until it is synced; false when all are paid.
    pub fn pay_next(&mut self) -> bool {
        let Some(id) = self.ids.get(self.commits.len()) else { return false };
        let commit = self.session.transaction().and_then(|mut sale| {
            sale.execute(&self.pay, &[id])?;
            let sent = micros();
            sale.commit()?;
            Ok(Commit { sent, seen: micros() })
        });
        self.commits.insert(id.clone(), commit.unwrap_or_else(|error| panic!("the payment failed: {error}")));
        let query = "SELECT guestly_sync_status = 'synced' FROM bookings WHERE id = $1::text::uuid";
        wait_until("a booking to be synced", SOON, || {
            let done = self.session.query_one(query, &[id]).is_ok_and(|row| row.get(0));
            (done, "not yet".to_owned())
        });
        true
    }

    /// The latencies of all payments.
    ///
    /// # Panics
    /// Unless each had one request.
    pub fn latencies(self) -> Latencies {
        let mut latencies = Latencies::default();
        for call in self.site.sim.call_log(Some("create")) {
            let commit = call["originId"].as_str().and_then(|id| self.commits.get(id));
            if let (Some(commit), Some(arrived)) = (commit, call["wall_us"].as_f64()) {
                latencies.seen.push((arrived - commit.seen) / 1000.0);
                latencies.sent.push((arrived - commit.sent) / 1000.0);
            }
        }
        let (calls, bookings) = (latencies.seen.len(), self.ids.len());
        assert!(calls == bookings, "{calls} calls for {bookings} bookings");
        latencies
    }
}
