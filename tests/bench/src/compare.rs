//! Two builds of the extension, each installed in a PostgreSQL of its own, measured in turns (A B, B A, …) in one run: both
//! see the same machine at the same time. Called by `main`.

mod paired;

use crate::args::Args;
use crate::config::Config;
use crate::latency::{Latencies, Payments};
use crate::measurement::{median, percentile};
use crate::trigger::{Round, Sessions, Update};
use crate::workload::insert_unpaid;
use crate::{drain, fixture, latency, scale, trigger};
use guestly_scenarios::{Options, Site};
use paired::{Better, Paired};
use postgres::Client;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// Rounds of a full run; even, so that both halves have as many.
const ROUNDS: usize = 6;
/// Long enough for the worker to be idle again.
const PAUSE: Duration = Duration::from_millis(3);

/// One build and its site.
struct Build {
    site: Site,
    session: Client,
}

/// The two builds of a comparison: A and B.
type Pair = [Build; 2];

/// Starts a site with the given settings.
type StartSite = fn(Box<dyn FnOnce(Options) -> Options>) -> Site;

/// A case, its unit, its update, and the figure that is compared.
type TriggerCase = (&'static str, &'static str, Update, fn(&Round) -> f64);

/// One half of the rounds, on sites of its own: a site may be slower than another one of the same build as long as it lives.
struct Half<'a> {
    config: &'a Config,
    folders: &'a [PathBuf; 2],
    /// 0 or 1: the build whose site is started first.
    first: usize,
}

/// A benchmark that compares two builds.
type Compare = fn(&Half<'_>) -> Vec<Paired>;

const COMPARISONS: [(&str, Compare); 4] = [
    (latency::NAME, compare_latency),
    (drain::NAME, compare_drain),
    (trigger::NAME, compare_trigger),
    (scale::NAME, compare_scale),
];

/// Compares the builds and prints a table.
///
/// # Panics
/// If a build cannot be measured, or `--only` selects nothing that can be compared.
pub fn run(args: &Args, folders: &[PathBuf; 2]) {
    let wanted: Vec<_> = COMPARISONS.into_iter().filter(|(name, _)| args.selects(name)).collect();
    assert!(!wanted.is_empty(), "only these can be compared: {}", COMPARISONS.map(|(name, _)| name).join(", "));
    for (letter, folder) in ["A", "B"].iter().zip(folders) {
        println!("{letter}: {}", describe(folder));
    }
    let mut results = Vec::new();
    for (name, compare) in wanted {
        let began = Instant::now();
        eprintln!("comparing: {name}");
        let [mut found, other] = [0, 1].map(|first| compare(&Half { config: &args.config, folders, first }));
        found.iter_mut().zip(other).for_each(|(paired, other)| paired.extend(other));
        eprintln!("{}    took {:.0} s\n", paired::table(&found), began.elapsed().as_secs_f64());
        results.extend(found);
    }
    println!("\n{}", paired::table(&results));
}

/// The version of the extension in a PostgreSQL, and where that is.
fn describe(folder: &Path) -> String {
    let build = start(folder, fixture::start_small_site);
    let version: String = build.site.query_one("SELECT extversion FROM pg_extension WHERE extname = 'guestly_sync'");
    format!("guestly_sync {version} in {}", folder.display())
}

fn start(folder: &Path, start_site: StartSite) -> Build {
    let folder = folder.to_owned();
    let site = start_site(Box::new(move |options| options.programs(&folder)));
    let session = site.client();
    Build { site, session }
}

/// The order of the builds in a round: A B, B A, A B, ….
fn order(round: usize) -> [usize; 2] {
    if round.is_multiple_of(2) { [0, 1] } else { [1, 0] }
}

impl Half<'_> {
    fn start(&self, start_site: StartSite) -> Pair {
        let mut builds = order(self.first).map(|side| start(&self.folders[side], start_site));
        if self.first == 1 {
            builds.reverse();
        }
        builds
    }

    /// Half of the rounds, rounded up.
    fn rounds(&self) -> usize {
        self.config.rounds_or(ROUNDS).div_ceil(2)
    }

    /// One sample of each build in each of `rounds` rounds.
    fn sample(
        &self,
        rounds: usize,
        pair: &mut Pair,
        mut measure: impl FnMut(usize, &mut Build) -> f64,
    ) -> [Vec<f64>; 2] {
        let mut samples = [Vec::new(), Vec::new()];
        for round in 0..rounds {
            for side in order(self.first + round) {
                samples[side].push(measure(side, &mut pair[side]));
            }
        }
        samples
    }
}

fn verify(pair: &Pair) {
    pair.iter().for_each(|build| fixture::verify(&build.site));
}

fn compare_latency(half: &Half<'_>) -> Vec<Paired> {
    let pair = half.start(fixture::start_small_site);
    let rounds: Vec<[Latencies; 2]> = (0..half.rounds()).map(|_| latencies(half.config, &pair)).collect();
    verify(&pair);
    let of = |pick: fn(&Latencies) -> &Vec<f64>, percent| -> [Vec<f64>; 2] {
        [0, 1].map(|side| rounds.iter().map(|round| percentile(pick(&round[side]), percent)).collect())
    };
    let row = |case, samples| Paired::new(latency::NAME, case, "ms", Better::Lower, samples);
    vec![
        row("COMMIT seen to request, p50", of(|one| &one.seen, 50)),
        row("COMMIT seen to request, p99", of(|one| &one.seen, 99)),
        row("COMMIT sent to request, p50", of(|one| &one.sent, 50)),
    ]
}

/// One round of payments, a payment of each build in turns.
fn latencies(config: &Config, pair: &Pair) -> [Latencies; 2] {
    let samples = latency::samples(config);
    let mut payments = pair.each_ref().map(|build| Payments::new(&build.site, samples));
    for number in 0..samples as usize {
        for side in order(number) {
            assert!(payments[side].pay_next(), "there are too few bookings");
            thread::sleep(PAUSE);
        }
    }
    payments.map(Payments::latencies)
}

fn compare_drain(half: &Half<'_>) -> Vec<Paired> {
    const IN_FLIGHT: u32 = 15;
    let mut pair = half.start(fixture::start_site);
    for build in &pair {
        drain::set_concurrency(&build.site, IN_FLIGHT);
    }
    let found = [(0, half.config.size(5_000, 200)), (100, half.config.size(1_500, 60))].map(|(latency_ms, count)| {
        let rates = half.sample(half.rounds(), &mut pair, |_, build| {
            drain::round(&build.site, &mut build.session, count, latency_ms)
        });
        let case = format!("API {latency_ms} ms, {IN_FLIGHT} in flight");
        Paired::new(drain::NAME, &case, "/s", Better::Higher, rates)
    });
    verify(&pair);
    found.into()
}

fn compare_trigger(half: &Half<'_>) -> Vec<Paired> {
    let config = half.config;
    let mut pair = half.start(fixture::start_site);
    for build in &pair {
        trigger::stop_worker(&build.site);
        insert_unpaid(&build.site, trigger::bulk(config).rows);
    }
    let mut sessions = pair.each_ref().map(|build| Sessions::open(&build.site, "guestly"));
    let cases: [TriggerCase; 3] = [
        ("paid, single row, per booking", "µs", trigger::single(config), Round::trigger_micros),
        ("paid, 2,000 rows, per booking", "µs", trigger::bulk(config), Round::trigger_micros),
        (
            "payment unchanged: update ÷ update without triggers",
            "",
            trigger::payment_unchanged(config),
            Round::unchanged_ratio,
        ),
    ];
    // Such a round takes less than a second.
    let rounds = half.rounds() * config.size(3, 1);
    let compare = |(case, unit, update, figure): TriggerCase| {
        let samples = half.sample(rounds, &mut pair, |side, build| figure(&sessions[side].round(&build.site, &update)));
        Paired::new(trigger::NAME, case, unit, Better::Lower, samples)
    };
    cases.map(compare).into()
}

fn compare_scale(half: &Half<'_>) -> Vec<Paired> {
    let (bookings, queued) = scale::SMALL;
    let mut pair = half.start(scale::start_site);
    pair.iter().for_each(|build| insert_unpaid(&build.site, bookings));
    let mut claims = [Vec::new(), Vec::new()];
    let rates = half.sample(half.rounds(), &mut pair, |side, build| {
        // So few bookings drain in a moment: one drain says little.
        let rounds: Vec<_> = (0..half.config.size(5, 1))
            .map(|_| scale::round(&build.site, &mut build.session, queued, queued))
            .collect();
        claims[side].push(median(&rounds.iter().map(|round| round.claim_millis * 1000.0).collect::<Vec<_>>()));
        median(&rounds.iter().map(|round| round.rate).collect::<Vec<_>>())
    });
    verify(&pair);
    let case = |what: &str| format!("{bookings} bookings, {queued} queued: {what}");
    vec![
        Paired::new(scale::NAME, &case("claim"), "µs", Better::Lower, claims),
        Paired::new(scale::NAME, &case("drain"), "/s", Better::Higher, rates),
    ]
}
