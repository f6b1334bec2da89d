//! What a sale pays for us: the time of our triggers for each booking, as EXPLAIN ANALYZE tells it, beside the time of
//! the statement without them. Called by `main`.

use crate::plan::Plan;
use crate::row::{Goal, Row, median};
use crate::scene;
use guestly_scenarios::Site;
use postgres::Client;
use serde_json::Value;

const NAME: &str = "trigger";
const QUEUE: &str = "guestly.queue";
const PAY: &str = "payment_status = 'completed', status = 'confirmed', confirmed_at = now()";
const NOTE: &str = "marketing_consent = true, updated_at = now()";

/// What EXPLAIN ANALYZE says of one statement, in microseconds for each row.
struct Cost {
    triggers: f64,
    statement: f64,
    calls: f64,
}

/// The figure.
pub fn measure(plan: &Plan) -> Vec<Row> {
    let large = plan.size(100_000, 2_000);
    // Nobody works on the queue meanwhile: the figure is the trigger's alone.
    let site = scene::open(|options| options.setting("guestly_sync.poll_interval", "1h"));
    site.alter_system("guestly_sync.enabled", "off");
    scene::stock(&site, large);
    let mut sessions = Sessions::open(&site);
    let mut paid = |case: &str, set: (u32, u32), most: f64| {
        let (times, base) = sessions.cost(plan, &site, QUEUE, set);
        let row = Row::new(NAME, &format!("paid, {case}, per booking"), "µs", times);
        row.limit("update without trigger", base).goal(Goal::AtMost(most))
    };
    let mut rows = vec![
        paid("single row", singles(plan), 35.0),
        paid("2,000 rows", bulk(plan), 20.0),
        paid("100,000 rows", (large, 1), 20.0),
    ];
    let (with, without) = sessions.rounds(plan, &site, QUEUE, NOTE, (bulk(plan).0, 10));
    assert!(with.iter().all(|cost| cost.calls == 0.0), "a trigger was called though the payment was not touched");
    let statement = |costs: &[Cost]| costs.iter().map(|cost| cost.statement).collect::<Vec<_>>();
    let row = Row::new(NAME, "payment not touched, per row (whole update)", "µs", statement(&with));
    rows.push(row.limit("without trigger", median(&statement(&without))).goal(Goal::RatioAtMost(1.05)));
    rows
}

/// Updates of one row, and how many of them.
pub fn singles(plan: &Plan) -> (u32, u32) {
    (1, plan.size(300, 50))
}

/// Updates of many rows, and how many of them.
pub fn bulk(plan: &Plan) -> (u32, u32) {
    (plan.size(2_000, 500), 5)
}

/// One session under which triggers fire, and one under which none does: switching would forget all plans.
pub struct Sessions {
    ours: Client,
    theirs: Client,
}

impl Sessions {
    /// Both.
    pub fn open(site: &Site) -> Self {
        let mut theirs = site.client();
        if let Err(error) = theirs.batch_execute("SET session_replication_role = replica") {
            panic!("{error}");
        }
        Self { ours: site.client(), theirs }
    }

    /// Microseconds of the triggers for each booking paid, one value a round; and of the statement without them.
    pub fn cost(&mut self, plan: &Plan, site: &Site, queue: &str, set: (u32, u32)) -> (Vec<f64>, f64) {
        let (with, without) = self.rounds(plan, site, queue, PAY, set);
        assert!(with.iter().all(|cost| cost.calls > 0.0), "the trigger was not called");
        let base = median(&without.iter().map(|cost| cost.statement).collect::<Vec<_>>());
        (with.iter().map(|cost| cost.triggers).collect(), base)
    }

    /// One cost for each round, with the triggers and without any, by turns: of updates of so many rows, so many times.
    fn rounds(
        &mut self,
        plan: &Plan,
        site: &Site,
        queue: &str,
        set: &str,
        (rows, repeats): (u32, u32),
    ) -> (Vec<Cost>, Vec<Cost>) {
        let (mut with, mut without) = (Vec::new(), Vec::new());
        let unpaid = "SELECT id::text FROM bookings WHERE payment_status = 'pending' ORDER BY id LIMIT";
        let ids: Vec<String> = site.query_all(&format!("{unpaid} {}", rows.max(repeats)));
        for _ in 0..plan.rounds() {
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            for repeat in 0..repeats as usize {
                // What was rolled back lies in the tables: it must not be what is measured.
                if repeat % 20 == 0 {
                    site.sql("VACUUM bookings");
                    site.sql(&format!("VACUUM {queue}"));
                }
                let chosen = if rows == 1 { &ids[repeat..=repeat] } else { &ids[..rows as usize] };
                ours.push(update(&mut self.ours, set, chosen));
                theirs.push(update(&mut self.theirs, set, chosen));
            }
            with.push(middle(&ours));
            without.push(middle(&theirs));
        }
        (with, without)
    }
}

fn middle(costs: &[Cost]) -> Cost {
    let of = |pick: fn(&Cost) -> f64| median(&costs.iter().map(pick).collect::<Vec<_>>());
    Cost { triggers: of(|cost| cost.triggers), statement: of(|cost| cost.statement), calls: of(|cost| cost.calls) }
}

/// Updates these bookings and takes it back.
fn update(client: &mut Client, set: &str, ids: &[String]) -> Cost {
    let list = ids.join(",");
    let statement =
        format!("EXPLAIN (ANALYZE, FORMAT JSON) UPDATE bookings SET {set} WHERE id = ANY ('{{{list}}}'::uuid[])");
    let explained = client.transaction().and_then(|mut sale| {
        let row = sale.query_one(statement.as_str(), &[])?;
        sale.rollback()?;
        row.try_get::<_, Value>(0)
    });
    let explained = explained.unwrap_or_else(|error| panic!("{error}"));
    let triggers = explained[0]["Triggers"].as_array().cloned().unwrap_or_default();
    let sum = |name: &str| triggers.iter().filter_map(|trigger| trigger[name].as_f64()).sum::<f64>();
    let total = explained[0]["Execution Time"].as_f64().unwrap_or(f64::NAN);
    let each = 1000.0 / ids.len() as f64;
    Cost { triggers: sum("Time") * each, statement: total * each, calls: sum("Calls") }
}
