//! From the commit of a payment to the call at Guestly, on an idle site. Called by `main`.

use crate::plan::Plan;
use crate::raw::Raw;
use crate::row::{Goal, Row, percentile};
use crate::scene::{self, micros};
use guestly_scenarios::{Options, SOON, Site, host, wait_until};
use postgres::{Client, Statement};
use std::collections::HashMap;
use std::path::Path;
use std::thread;
use std::time::Duration;

const NAME: &str = "commit to request";
const PAY: &str = "UPDATE bookings SET payment_status = 'completed', status = 'confirmed' WHERE id = $1::text::uuid";
/// A file system in memory, where there is one.
const MEMORY: &str = "/dev/shm";
/// Long enough for the site to be idle again.
const PAUSE: Duration = Duration::from_millis(3);

/// One round's times, in milliseconds.
#[derive(Default)]
struct Times {
    /// From when the client sees COMMIT.
    seen: Vec<f64>,
    /// From when it sends COMMIT.
    sent: Vec<f64>,
    raw: Vec<f64>,
    commit: Vec<f64>,
}

/// The figure. The intent of a call is committed before it leaves, so a disk has its share; a second site, with its data in
/// memory, tells how large it is.
pub fn measure(plan: &Plan) -> Vec<Row> {
    let mut rows = case(plan, "", scene::open_small(|options| options));
    if Path::new(MEMORY).is_dir() {
        rows.extend(case(plan, "data in memory: ", scene::open_small(Options::in_memory)));
    }
    rows
}

fn case(plan: &Plan, place: &str, site: Site) -> Vec<Row> {
    site.sql("CREATE TABLE sample.commits (n integer)");
    let raw = Raw::new(&site);
    let rounds: Vec<Times> = (0..plan.rounds()).map(|_| round(&site, &raw, plan.size(300, 20))).collect();
    scene::check(&site);
    let of = |pick: fn(&Times) -> &Vec<f64>, percent| rounds.iter().map(|r| percentile(pick(r), percent)).collect();
    let row = |case, pick, percent| Row::new(NAME, &format!("{place}{case}"), "ms", of(pick, percent));
    let trip = row("raw loopback round trip, p50", |r| &r.raw, 50);
    vec![
        row("COMMIT seen to request, p50", |r| &r.seen, 50)
            .limit("raw round trip", trip.median())
            .goal(Goal::AtMost(1.0))
            .goal(Goal::RatioAtMost(8.0)),
        row("COMMIT seen to request, p99", |r| &r.seen, 99).goal(Goal::AtMost(3.0)),
        row("COMMIT sent to request, p50", |r| &r.sent, 50),
        row("COMMIT sent to request, p99", |r| &r.sent, 99),
        trip,
        row("raw loopback round trip, p99", |r| &r.raw, 99),
        row("one commit of one row, p50", |r| &r.commit, 50),
        row("one commit of one row, p99", |r| &r.commit, 99),
    ]
}

fn round(site: &Site, raw: &Raw, samples: u32) -> Times {
    let mut round = Round::new(site, samples);
    let mut other = site.client();
    let (mut raws, mut commits) = (Vec::new(), Vec::new());
    while round.sample(|| thread::sleep(PAUSE)) {
        raws.push(raw.round_trip() / 1000.0);
        commits.push(commit(&mut other));
    }
    let (seen, sent) = round.end();
    Times { seen, sent, raw: raws, commit: commits }
}

/// Milliseconds of a commit, as the worker has to wait for one.
fn commit(client: &mut Client) -> f64 {
    let took = client.transaction().and_then(|mut row| {
        row.execute("INSERT INTO sample.commits VALUES (1)", &[])?;
        let began = micros();
        row.commit()?;
        Ok((micros() - began) / 1000.0)
    });
    took.unwrap_or_else(|error| panic!("the commit failed: {error}"))
}

/// Payments one by one, each on an idle site, and when their calls came; of any consumer of them.
pub struct Round<'a> {
    site: &'a Site,
    session: Client,
    pay: Statement,
    ids: Vec<String>,
    /// When COMMIT was sent and when it was seen, by booking.
    commits: HashMap<String, (f64, f64)>,
}

impl<'a> Round<'a> {
    /// Makes the bookings.
    pub fn new(site: &'a Site, samples: u32) -> Self {
        let ids = host::make_bookings(site, samples);
        let mut session = site.client();
        let pay = session.prepare(PAY).unwrap_or_else(|error| panic!("{error}"));
        Self { site, session, pay, ids, commits: HashMap::new() }
    }

    /// Pays the next booking, waits until it is done, then pauses; false when there was none left.
    pub fn sample(&mut self, pause: impl FnOnce()) -> bool {
        let Some(id) = self.ids.get(self.commits.len()) else { return false };
        let paid = self.session.transaction().and_then(|mut sale| {
            sale.execute(&self.pay, &[id])?;
            let sent = micros();
            sale.commit()?;
            Ok((sent, micros()))
        });
        self.commits.insert(id.clone(), paid.unwrap_or_else(|error| panic!("the payment failed: {error}")));
        let query = "SELECT guestly_sync_status = 'synced' FROM bookings WHERE id = $1::text::uuid";
        wait_until("a booking to be synced", SOON, || {
            let done = self.session.query_one(query, &[id]).is_ok_and(|row| row.get(0));
            (done, "not yet".to_owned())
        });
        pause();
        true
    }

    /// Milliseconds from when COMMIT was seen, and from when it was sent, until the calls came. Each came once.
    pub fn end(self) -> (Vec<f64>, Vec<f64>) {
        let (mut from_seen, mut from_sent) = (Vec::new(), Vec::new());
        for call in self.site.sim.ledger(Some("create")) {
            let commit = call["originId"].as_str().and_then(|id| self.commits.get(id));
            if let (Some((sent, seen)), Some(arrived)) = (commit, call["wall_us"].as_f64()) {
                from_seen.push((arrived - seen) / 1000.0);
                from_sent.push((arrived - sent) / 1000.0);
            }
        }
        assert!(from_seen.len() == self.ids.len(), "{} calls of {} bookings", from_seen.len(), self.ids.len());
        (from_seen, from_sent)
    }
}
