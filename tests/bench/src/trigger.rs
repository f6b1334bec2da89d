//! The cost of the queue for a sale: the time of the triggers for each booking, as EXPLAIN ANALYZE reports it, and the time of
//! the same statement without triggers. Called by `main`, `peers` and `compare`.

use crate::config::Config;
use crate::fixture;
use crate::measurement::{Measurement, Target, median};
use crate::workload::insert_unpaid;
use guestly_scenarios::Site;
use postgres::Client;
use serde_json::Value;

/// The benchmark's name.
pub const NAME: &str = "trigger";

const PAY: &str = "payment_status = 'completed', status = 'confirmed', confirmed_at = now()";
const LEAVE_PAYMENT: &str = "marketing_consent = true, updated_at = now()";
/// Updates between two vacuums.
const VACUUM_EVERY: usize = 20;

/// Measures.
pub fn measure(config: &Config) -> Vec<Measurement> {
    let site = fixture::start_site(|options| options);
    let large = config.size(100_000, 2_000);
    stop_worker(&site);
    insert_unpaid(&site, large);
    let mut sessions = Sessions::open(&site, "guestly");
    let mut paid = |case: &str, update: &Update, most: f64| {
        let rounds = sessions.rounds(config, &site, update);
        let times = rounds.iter().map(Round::trigger_micros).collect();
        let without: Vec<f64> = rounds.iter().map(|round| round.without.statement).collect();
        let paid = Measurement::new(NAME, &format!("paid, {case}, per booking"), "µs", times);
        paid.baseline("update without trigger", median(&without)).target(Target::AtMost(most))
    };
    let mut measurements = vec![
        paid("single row", &single(config), 35.0),
        paid("2,000 rows", &bulk(config), 20.0),
        paid("100,000 rows", &Update { rows: large, repeats: 1, ..bulk(config) }, 20.0),
    ];
    let rounds = sessions.rounds(config, &site, &payment_unchanged(config));
    let with = rounds.iter().map(Round::unchanged_micros).collect();
    let without: Vec<f64> = rounds.iter().map(|round| round.without.statement).collect();
    let unchanged = Measurement::new(NAME, "payment unchanged, per row (whole update)", "µs", with);
    measurements.push(unchanged.baseline("without trigger", median(&without)).target(Target::RatioAtMost(1.05)));
    measurements
}

/// Keeps the worker away from the queue, so that the triggers are measured alone.
pub fn stop_worker(site: &Site) {
    site.alter_system("guestly_sync.poll_interval", "1h");
    site.alter_system("guestly_sync.enabled", "off");
}

/// An update that is measured several times and rolled back each time.
#[derive(Clone, Copy, Debug)]
pub struct Update {
    set: &'static str,
    /// Rows of each update.
    pub rows: u32,
    repeats: u32,
}

/// Pays one booking at a time.
pub fn single(config: &Config) -> Update {
    Update { set: PAY, rows: 1, repeats: config.size(300, 50) }
}

/// Pays many bookings at once.
pub fn bulk(config: &Config) -> Update {
    Update { set: PAY, rows: config.size(2_000, 500), repeats: 5 }
}

/// Updates many bookings without touching the payment.
pub fn payment_unchanged(config: &Config) -> Update {
    Update { set: LEAVE_PAYMENT, rows: config.size(2_000, 500), repeats: 10 }
}

/// The report of EXPLAIN ANALYZE about one statement, per row.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Microseconds in triggers.
    triggers: f64,
    /// Microseconds of the whole statement.
    statement: f64,
    /// Calls of triggers in all, not per row.
    calls: f64,
}

/// The medians of one round.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    with: Cost,
    without: Cost,
}

impl Round {
    /// Microseconds in triggers for each booking paid.
    ///
    /// # Panics
    /// If no trigger fired.
    pub fn trigger_micros(&self) -> f64 {
        assert!(self.with.calls > 0.0, "the trigger was not called");
        self.with.triggers
    }

    /// The whole update divided by the same one without triggers, which cancels out the state of the table.
    ///
    /// # Panics
    /// If a trigger fired although the payment was not touched.
    pub fn unchanged_ratio(&self) -> f64 {
        self.unchanged_micros() / self.without.statement
    }

    /// Microseconds of the whole update per row.
    ///
    /// # Panics
    /// If a trigger fired although the payment was not touched.
    pub fn unchanged_micros(&self) -> f64 {
        assert!(self.with.calls == 0.0, "a trigger was called though the payment was not touched");
        self.with.statement
    }
}

/// A session in which triggers fire and one in which none does: switching a session would discard its plans.
pub struct Sessions {
    with: Client,
    without: Client,
    /// Vacuums the tables that the triggers write.
    vacuum: String,
}

impl Sessions {
    /// Opens both; `schema` has the tables of the queue.
    pub fn open(site: &Site, schema: &str) -> Self {
        let mut without = site.client();
        if let Err(error) = without.batch_execute("SET session_replication_role = replica") {
            panic!("{error}");
        }
        let vacuum = site.query_one(&format!(
            "SELECT 'VACUUM bookings, ' || string_agg(format('%I.%I', schemaname, tablename), ', ') FROM pg_tables \
             WHERE schemaname = '{schema}'"
        ));
        Self { with: site.client(), without, vacuum }
    }

    /// All rounds of an update.
    pub fn rounds(&mut self, config: &Config, site: &Site, update: &Update) -> Vec<Round> {
        (0..config.rounds()).map(|_| self.round(site, update)).collect()
    }

    /// One round: with and without triggers in turns.
    pub fn round(&mut self, site: &Site, update: &Update) -> Round {
        let unpaid = "SELECT id::text FROM bookings WHERE payment_status = 'pending' ORDER BY id LIMIT";
        let ids: Vec<String> = site.query_all(&format!("{unpaid} {}", update.rows.max(update.repeats)));
        let (mut with, mut without) = (Vec::new(), Vec::new());
        for repeat in 0..update.repeats as usize {
            // Rolled back rows stay in the tables; they would slow down the next updates.
            if repeat % VACUUM_EVERY == 0 {
                site.sql(&self.vacuum);
            }
            let chosen = if update.rows == 1 { &ids[repeat..=repeat] } else { &ids[..update.rows as usize] };
            with.push(explain(&mut self.with, update.set, chosen));
            without.push(explain(&mut self.without, update.set, chosen));
        }
        Round { with: median_cost(&with), without: median_cost(&without) }
    }
}

fn median_cost(costs: &[Cost]) -> Cost {
    let of = |pick: fn(&Cost) -> f64| median(&costs.iter().map(pick).collect::<Vec<_>>());
    Cost { triggers: of(|cost| cost.triggers), statement: of(|cost| cost.statement), calls: of(|cost| cost.calls) }
}

/// Updates these bookings and rolls back.
fn explain(session: &mut Client, set: &str, ids: &[String]) -> Cost {
    let list = ids.join(",");
    let statement =
        format!("EXPLAIN (ANALYZE, FORMAT JSON) UPDATE bookings SET {set} WHERE id = ANY ('{{{list}}}'::uuid[])");
    let plan = session.transaction().and_then(|mut sale| {
        let row = sale.query_one(statement.as_str(), &[])?;
        sale.rollback()?;
        row.try_get::<_, Value>(0)
    });
    let plan = plan.unwrap_or_else(|error| panic!("{error}"));
    let triggers = plan[0]["Triggers"].as_array().cloned().unwrap_or_default();
    let sum = |name: &str| triggers.iter().filter_map(|trigger| trigger[name].as_f64()).sum::<f64>();
    let total = plan[0]["Execution Time"].as_f64().unwrap_or(f64::NAN);
    let per_row = 1000.0 / ids.len() as f64;
    Cost { triggers: sum("Time") * per_row, statement: total * per_row, calls: sum("Calls") }
}
