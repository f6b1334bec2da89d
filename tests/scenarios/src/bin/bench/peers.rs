//! Other queues at the same work: a consumer of each, in Node, makes the same call and the same write-back on a server
//! without the extension. Called by `main`. What is measured is what `latency`, `drain` and `trigger` measure of the product.

use crate::latency::Round;
use crate::plan::Plan;
use crate::row::{Row, percentile};
use crate::scene;
use crate::trigger::{Sessions, bulk, singles};
use guestly_scenarios::{Options, SOON, Site, host, wait_until};
use postgres::Client;
use serde_json::json;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const NAME: &str = "peers";
/// Each with its table.
const QUEUES: [(&str, &str); 2] = [("graphile-worker", "graphile_worker._private_jobs"), ("pg-boss", "pgboss.job")];
const IN_FLIGHT: u32 = 15;
/// The consumers' own tables aside, the database has what the extension would have made and they need.
const TABLES: &str =
    "CREATE SCHEMA guestly; CREATE TABLE guestly.listings (property text PRIMARY KEY, listing_id text NOT NULL)";
const SYNCED: &str = "SELECT count(*) FROM bookings WHERE guestly_synced_at > to_timestamp($1)";

/// The figure.
pub fn measure(plan: &Plan) -> Vec<Row> {
    let Some(folder) = &plan.peers else { return Vec::new() };
    QUEUES.iter().flat_map(|(queue, table)| of(plan, folder, queue, table)).collect()
}

fn of(plan: &Plan, folder: &Path, queue: &str, table: &str) -> Vec<Row> {
    let mut peer = Peer::start(folder, queue);
    let mut found: [Vec<f64>; 4] = Default::default();
    for number in 0..plan.rounds() {
        let seen = peer.latencies(plan.size(40, 3), number);
        found[0].push(percentile(&seen, 50));
        found[1].push(percentile(&seen, 99));
        found[2].push(peer.drain(plan.size(5_000, 200), 0));
        found[3].push(peer.drain(plan.size(1_500, 60), 100));
    }
    peer.check();
    scene::stock(&peer.site, bulk(plan).0);
    let mut sessions = Sessions::open(&peer.site);
    let mut trigger = |set| sessions.cost(plan, &peer.site, table, set).0;
    let (one, many) = (trigger(singles(plan)), trigger(bulk(plan)));
    let [middle, late, fast, slow] = found;
    let row = |case: &str, unit, samples| Row::new(NAME, &format!("{queue}: {case}"), unit, samples);
    let drain = |latency: u32| format!("drain, API {latency} ms, {IN_FLIGHT} in flight");
    vec![
        row("COMMIT seen to request, p50", "ms", middle),
        row("COMMIT seen to request, p99", "ms", late),
        row(&drain(0), "/s", fast),
        row(&drain(100), "/s", slow).limit("in flight ÷ latency", f64::from(IN_FLIGHT) * 10.0),
        row("trigger, single row, per booking", "µs", one),
        row("trigger, 2,000 rows, per booking", "µs", many),
    ]
}

/// A site whose bookings another queue looks after.
struct Peer {
    /// Before the site: it must go first, or it would complain.
    consumer: Consumer,
    site: Site,
    session: Client,
}

impl Peer {
    fn start(folder: &Path, queue: &str) -> Self {
        let settings = |options: Options| options.durable().setting("shared_buffers", "128MB").without_preload();
        let site = Site::empty_on(scene::simulator(&scene::free()), settings);
        host::load(&site);
        host::add_sync_columns(&site);
        site.sql(TABLES);
        host::map_listings(&site);
        scene::furnish(&site);
        let consumer = Consumer::start(folder, queue, &site);
        let session = site.client();
        let mut peer = Self { consumer, site, session };
        peer.drain(IN_FLIGHT, 0);
        peer
    }

    /// Milliseconds from COMMIT to the request, of so many payments.
    fn latencies(&mut self, samples: u32, number: usize) -> Vec<f64> {
        let mut round = Round::new(&self.site, samples);
        let mut count = number as u64;
        // A consumer that polls starts its half second anew with each job: payments must not come in step with it.
        let pause = |count: u64| thread::sleep(Duration::from_millis(3 + count * 211 % 500));
        while round.sample(|| pause(count)) {
            count += 1;
        }
        round.end().0
    }

    fn drain(&mut self, count: u32, latency: u32) -> f64 {
        scene::stock(&self.site, count);
        self.site.sim.knobs(json!({"latency_ms": latency}));
        let before = self.site.sim.calls("create");
        let due = before + u64::from(count);
        let commit = scene::flip(&mut self.session, count);
        // The table is looked at when it may be worth it: no index helps, and looking must not slow down what is measured.
        let began = Instant::now();
        wait_until(&format!("{count} creates"), scene::PATIENCE, || {
            self.consumer.must_run();
            let found = self.site.sim.calls("create");
            if found < due {
                scene::pause_before_next_look(began, (found - before) as f64, f64::from(count));
            }
            (found >= due, format!("{found} of {due}"))
        });
        let rate = scene::rate_of(&mut self.session, SYNCED, commit, count);
        self.site.sim.knobs(json!({"latency_ms": 0}));
        rate
    }

    /// Nothing was lost, and nothing was done twice.
    fn check(&mut self) {
        self.consumer.must_run();
        let left = "SELECT count(*) = 0, count(*)::text FROM bookings WHERE payment_status = 'completed' \
                    AND (guestly_sync_status <> 'synced' OR guestly_reservation_id IS NULL)";
        self.site.wait_for("all paid bookings to be synced", SOON, left);
        let paid: i64 = self.site.query_one("SELECT count(*) FROM bookings WHERE payment_status = 'completed'");
        let metrics = self.site.sim.metrics();
        let once = &metrics["codes"]["active_once"];
        assert!(once.as_i64() == Some(paid), "{paid} were paid, Guestly holds {}", metrics["codes"]);
        let calls = self.site.sim.calls("create");
        assert!(calls == paid.unsigned_abs(), "{calls} creates of {paid} paid bookings");
    }
}

/// The consumer's process; dropped, it ends.
struct Consumer {
    child: Child,
    /// Kept open: what it says later must not end it.
    _output: BufReader<ChildStdout>,
}

impl Consumer {
    /// Starts it and waits until its queue takes work.
    fn start(folder: &Path, queue: &str, site: &Site) -> Self {
        let knobs = site.sim.get("knobs");
        let knob = |name: &str| knobs[name].as_str().unwrap_or_default().to_owned();
        let mut child = Command::new("node")
            .arg(folder.join(format!("{queue}.js")))
            .env("PGHOST", site.socket_folder())
            .envs([("PGUSER", "postgres"), ("PGDATABASE", "postgres")])
            .env("API_URL", site.sim.url())
            .env("CLIENT_ID", knob("client_id"))
            .env("CLIENT_SECRET", knob("client_secret"))
            .env("CONCURRENCY", IN_FLIGHT.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("node does not start: {error}"));
        let Some(mut words) = child.stdout.take().map(BufReader::new) else { panic!("{queue} has no output") };
        let ready = words.by_ref().lines().map_while(Result::ok).any(|line| line == "ready");
        let mut consumer = Self { child, _output: words };
        consumer.must_run();
        assert!(ready, "{queue} did not say that it is ready");
        consumer
    }

    /// It ends by itself only when something went wrong, and has then said what.
    fn must_run(&mut self) {
        let ended = self.child.try_wait();
        assert!(matches!(ended, Ok(None)), "the consumer ended: {ended:?}");
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
