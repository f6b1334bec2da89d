//! Other queues at the same work: for each, a consumer in Node makes the same call and the same write-back, on a server
//! without the extension. Measured as `latency`, `drain` and `trigger` measure the product. Called by `main`.

use crate::config::Config;
use crate::fixture;
use crate::latency::Payments;
use crate::measurement::{Measurement, percentile};
use crate::trigger::{Round, Sessions, Update, bulk, single};
use crate::workload::{Burst, insert_unpaid};
use guestly_scenarios::{Options, SOON, Site, host};
use postgres::Client;
use serde_json::json;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

/// The benchmark's name.
pub const NAME: &str = "peers";

/// Each with the schema of its tables.
const QUEUES: [(&str, &str); 2] = [("graphile-worker", "graphile_worker"), ("pg-boss", "pgboss")];
const IN_FLIGHT: u32 = 15;
/// The tables that the extension would create, as far as the consumers need them.
const TABLES: &str =
    "CREATE SCHEMA guestly; CREATE TABLE guestly.listings (property text PRIMARY KEY, listing_id text NOT NULL)";

/// Measures; nothing without the consumers' folder.
pub fn measure(config: &Config) -> Vec<Measurement> {
    let Some(folder) = &config.peers else { return Vec::new() };
    QUEUES.iter().flat_map(|(queue, schema)| measure_queue(config, folder, queue, schema)).collect()
}

fn measure_queue(config: &Config, folder: &Path, queue: &str, schema: &str) -> Vec<Measurement> {
    let mut peer = Peer::start(folder, queue);
    let mut samples: [Vec<f64>; 4] = Default::default();
    for number in 0..config.rounds() {
        let seen = peer.latencies(config.size(40, 3), number as u64);
        samples[0].push(percentile(&seen, 50));
        samples[1].push(percentile(&seen, 99));
        samples[2].push(peer.drain(config.size(5_000, 200), 0));
        samples[3].push(peer.drain(config.size(1_500, 60), 100));
    }
    peer.verify();
    insert_unpaid(&peer.site, bulk(config).rows);
    let mut sessions = Sessions::open(&peer.site, schema);
    let mut trigger = |update: &Update| -> Vec<f64> {
        sessions.rounds(config, &peer.site, update).iter().map(Round::trigger_micros).collect()
    };
    let (one, many) = (trigger(&single(config)), trigger(&bulk(config)));
    let [p50, p99, fast, slow] = samples;
    let row = |case: &str, unit, samples| Measurement::new(NAME, &format!("{queue}: {case}"), unit, samples);
    let drain = |latency_ms: u32| format!("drain, API {latency_ms} ms, {IN_FLIGHT} in flight");
    vec![
        row("COMMIT seen to request, p50", "ms", p50),
        row("COMMIT seen to request, p99", "ms", p99),
        row(&drain(0), "/s", fast),
        row(&drain(100), "/s", slow).baseline("in flight ÷ latency", f64::from(IN_FLIGHT) * 10.0),
        row("trigger, single row, per booking", "µs", one),
        row("trigger, 2,000 rows, per booking", "µs", many),
    ]
}

/// A site whose bookings are synced by another queue.
struct Peer {
    /// Before the site: it reports an error when its server goes first.
    consumer: Consumer,
    site: Site,
    session: Client,
}

impl Peer {
    fn start(folder: &Path, queue: &str) -> Self {
        let settings = |options: Options| options.durable().setting("shared_buffers", "128MB").without_preload();
        let site = Site::empty_on(fixture::start_simulator(&fixture::unlimited()), settings);
        host::load(&site);
        host::add_sync_columns(&site);
        site.sql(TABLES);
        host::map_listings(&site);
        fixture::add_flats(&site);
        let consumer = Consumer::start(folder, queue, &site);
        let session = site.client();
        let mut peer = Self { consumer, site, session };
        peer.drain(IN_FLIGHT, 0);
        peer
    }

    /// Milliseconds from COMMIT to request, one for each payment.
    fn latencies(&mut self, samples: u32, round: u64) -> Vec<f64> {
        let mut payments = Payments::new(&self.site, samples);
        let mut count = round;
        while payments.pay_next() {
            // A consumer that polls starts its half second anew with each job: payments must not keep in step with it.
            thread::sleep(Duration::from_millis(3 + count * 211 % 500));
            count += 1;
        }
        payments.latencies().seen
    }

    fn drain(&mut self, count: u32, latency_ms: u32) -> f64 {
        insert_unpaid(&self.site, count);
        self.site.sim.knobs(json!({"latency_ms": latency_ms}));
        let burst = Burst::pay(&self.site, &mut self.session, count);
        let rate = burst.rate_while(&self.site, &mut self.session, || self.consumer.assert_running());
        self.site.sim.knobs(json!({"latency_ms": 0}));
        rate
    }

    /// Checks that nothing was lost and nothing was done twice.
    fn verify(&mut self) {
        self.consumer.assert_running();
        let left = "SELECT count(*) = 0, count(*)::text FROM bookings WHERE payment_status = 'completed' \
                    AND (guestly_sync_status <> 'synced' OR guestly_reservation_id IS NULL)";
        self.site.wait_for("all paid bookings to be synced", SOON, left);
        let paid: i64 = self.site.query_one("SELECT count(*) FROM bookings WHERE payment_status = 'completed'");
        let metrics = self.site.sim.metrics();
        let once = &metrics["codes"]["active_once"];
        assert!(once.as_i64() == Some(paid), "{paid} were paid, Guestly has {}", metrics["codes"]);
        let creates = self.site.sim.calls("create");
        assert!(creates == paid.unsigned_abs(), "{creates} creates for {paid} paid bookings");
    }
}

/// The consumer's process; dropped, it ends.
struct Consumer {
    child: Child,
    /// Kept open: a write to a closed pipe would end the process.
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
        let Some(mut output) = child.stdout.take().map(BufReader::new) else { panic!("{queue} has no output") };
        let ready = output.by_ref().lines().map_while(Result::ok).any(|line| line == "ready");
        let mut consumer = Self { child, _output: output };
        consumer.assert_running();
        assert!(ready, "{queue} did not report that it is ready");
        consumer
    }

    /// It ends by itself only after an error, which it has then printed.
    fn assert_running(&mut self) {
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
