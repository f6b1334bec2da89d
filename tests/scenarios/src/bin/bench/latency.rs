//! From the commit of a payment to the call at Guestly, on an idle site. Called by `main`.

use crate::plan::Plan;
use crate::raw::Raw;
use crate::row::{Goal, Row, percentile};
use crate::scene::{self, micros};
use guestly_scenarios::{Site, host, wait_until};
use std::collections::HashMap;
use std::thread;
use std::time::Duration;

const NAME: &str = "commit to request";

/// One round's times, in milliseconds.
#[derive(Default)]
struct Times {
    /// From when the client sees COMMIT.
    seen: Vec<f64>,
    /// From when it sends COMMIT.
    sent: Vec<f64>,
    raw: Vec<f64>,
}

/// The figure.
pub fn measure(plan: &Plan) -> Vec<Row> {
    let site = scene::open_small(|options| options);
    let raw = Raw::new(&site);
    let rounds: Vec<Times> = (0..plan.rounds()).map(|_| round(&site, &raw, plan.size(300, 20))).collect();
    scene::check(&site);
    let of = |pick: fn(&Times) -> &Vec<f64>, percent| rounds.iter().map(|r| percentile(pick(r), percent)).collect();
    let row = |case, pick, percent| Row::new(NAME, case, "ms", of(pick, percent));
    let trip = Row::new(NAME, "raw loopback round trip, p50", "ms", of(|r| &r.raw, 50));
    vec![
        row("COMMIT seen to request, p50", |r| &r.seen, 50)
            .limit("raw round trip", trip.median())
            .goal(Goal::AtMost(1.0))
            .goal(Goal::RatioAtMost(8.0)),
        row("COMMIT seen to request, p99", |r| &r.seen, 99).goal(Goal::AtMost(3.0)),
        row("COMMIT sent to request, p50", |r| &r.sent, 50).limit("raw round trip", trip.median()),
        row("COMMIT sent to request, p99", |r| &r.sent, 99),
        trip,
        row("raw loopback round trip, p99", |r| &r.raw, 99),
    ]
}

fn round(site: &Site, raw: &Raw, samples: u32) -> Times {
    let ids = host::make_bookings(site, samples);
    let mut session = site.client();
    let pay = session
        .prepare("UPDATE bookings SET payment_status = 'completed', status = 'confirmed' WHERE id = $1::text::uuid");
    let pay = pay.unwrap_or_else(|error| panic!("{error}"));
    let mut times = Times::default();
    let mut commits = HashMap::new();
    for id in &ids {
        let paid = session.transaction().and_then(|mut sale| {
            sale.execute(&pay, &[id])?;
            let sent = micros();
            sale.commit()?;
            Ok((sent, micros()))
        });
        commits.insert(id.clone(), paid.unwrap_or_else(|error| panic!("the payment failed: {error}")));
        settle(&mut session, id);
        times.raw.push(raw.round_trip() / 1000.0);
    }
    for call in site.sim.ledger(Some("create")) {
        let commit = call["originId"].as_str().and_then(|id| commits.get(id));
        if let (Some((sent, seen)), Some(arrived)) = (commit, call["wall_us"].as_f64()) {
            times.seen.push((arrived - seen) / 1000.0);
            times.sent.push((arrived - sent) / 1000.0);
        }
    }
    assert!(times.seen.len() == ids.len(), "{} calls of {} bookings", times.seen.len(), ids.len());
    times
}

/// Until the booking is done and the site is idle again.
fn settle(session: &mut postgres::Client, id: &String) {
    let query = "SELECT guestly_sync_status = 'synced' FROM bookings WHERE id = $1::text::uuid";
    wait_until("a booking to be synced", scene::PATIENCE, || {
        let done = session.query_one(query, &[id]).is_ok_and(|row| row.get(0));
        (done, "not yet".to_owned())
    });
    thread::sleep(Duration::from_millis(3));
}
