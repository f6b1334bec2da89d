//! System clock changes of an hour in either direction: no burst of calls, no stall, no create before the settle window is
//! over. A preloaded library (`jump.c`) changes the server's time of day; its monotonic clock and the simulator's clock
//! stay correct.

use guestly_scenarios::{SOON, Site, StopMode, wait_until};
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/claims/jump.c");

/// A site whose time of day the test sets.
struct Watch {
    site: Site,
    folder: PathBuf,
}

impl Watch {
    fn start(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("guestly-clock-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("cannot make {}: {error}", folder.display()));
        let (library, offset) = (folder.join("jump.so"), folder.join("offset"));
        compile(&library);
        write(&offset, 0);
        let site = Site::open_with(|options| {
            options
                .environment("LD_PRELOAD", &library.display().to_string())
                .environment("GUESTLY_TEST_CLOCK", &offset.display().to_string())
                .setting("guestly_sync.poll_interval", "1s")
        });
        site.wait_for_worker(&site);
        Self { site, folder }
    }

    fn jump(&self, seconds: i64) {
        let now = "SELECT extract(epoch FROM clock_timestamp())::float8";
        let before: f64 = self.site.query_one(now);
        write(&self.folder.join("offset"), seconds);
        let after: f64 = self.site.query_one(now);
        assert!((after - before).abs() > 3000.0, "the server's clock did not jump: {before}, {after}");
    }

    fn wait_until_noticed(&self) {
        wait_until("the worker to notice", SOON, || (self.site.log().contains("system clock changed"), String::new()));
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // The running server already has both files open.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn compile(library: &Path) {
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(library).args([SOURCE, "-ldl"]);
    let done = compiler.status();
    assert!(done.as_ref().is_ok_and(std::process::ExitStatus::success), "{compiler:?}: {done:?}");
}

/// In place and never shorter than eight bytes: the server's processes have the file in their memory.
fn write(file: &Path, seconds: i64) {
    let opened = fs::OpenOptions::new().write(true).create(true).truncate(false).open(file);
    let written = opened.and_then(|mut file| file.write_all(&seconds.to_ne_bytes()));
    written.unwrap_or_else(|error| panic!("cannot write {}: {error}", file.display()));
}

/// Bookings in every waiting state and a clock change; everything is synced once, without a stall and with few calls.
fn jump_during_everything(name: &str, by: i64) {
    let watch = Watch::start(name);
    let site = &watch.site;
    let mut ids = vec![site.paid_booking()];
    site.wait_all_synced(SOON);
    // Two with an unknown outcome, one of them in Guestly but not yet readable; one that waits for its next attempt.
    site.sim.knobs(json!({"visible_ms": [40_000, 40_000]}));
    site.sim.fault(json!([
        {"match": {"operation": "create", "nth": 1}, "effect": {"kind": "drop_before_accept"}},
        {"match": {"operation": "create", "nth": 2}, "effect": {"kind": "drop_after_accept"}}
    ]));
    let doubted = site.paid_bookings(2);
    site.sim.wait_for_calls("search", 1, SOON);
    let before = site.sim.metrics()["requests"].as_u64().unwrap_or_default();
    watch.jump(by);
    watch.wait_until_noticed();
    ids.extend(site.paid_bookings(2));
    ids.extend(doubted.iter().cloned());
    site.wait_all_synced(SOON);
    let metrics = site.sim.metrics();
    let calls = metrics["requests"].as_u64().unwrap_or_default() - before;
    // Two new bookings, and seven lookups and a create for each unknown outcome.
    assert!(calls <= 2 + 2 * 10, "a burst of {calls} calls");
    assert_eq!((site.sim.calls("token"), &metrics["creates_without_look_up"]), (1, &json!(0)));
    for id in &doubted {
        let calls = site.calls_of(&site.code(id));
        let creates: Vec<&Value> = calls.iter().filter(|call| call["operation"] == "create").collect();
        assert!(creates.len() <= 2, "{} creates", creates.len());
    }
    // The local clock is wrong: every answer contained Guestly's time.
    let skew: i64 = site.query_one("SELECT clock_skew_ms / 1000 FROM guestly.status");
    assert!((skew + by).abs() < 60, "a clock that is {by} s off is seen as {skew} s");
    let row: String =
        site.query_one("SELECT status || ': ' || detail FROM guestly_doctor() WHERE check_name = 'clock'");
    let seconds = row.strip_prefix("warn: ").and_then(|said| said.split(' ').next()?.parse::<i64>().ok());
    assert!(seconds.is_some_and(|seconds| (seconds - skew).abs() <= 1), "{row}");
    // This includes: no create before settle was over in Guestly's time.
    site.assert_once_each(&ids);
}

#[test]
fn a_clock_set_ahead_causes_no_early_create() {
    jump_during_everything("on", 3600);
}

#[test]
fn a_clock_set_back_causes_no_stall() {
    jump_during_everything("back", -3600);
}

#[test]
fn a_clock_set_back_while_stopped_causes_no_stall() {
    let watch = Watch::start("down");
    let site = &watch.site;
    site.sim.knobs(json!({"visible_ms": [40_000, 40_000]}));
    site.sim.fault(json!([
        {"match": {"operation": "create", "nth": 1}, "effect": {"kind": "drop_before_accept"}},
        {"match": {"operation": "create", "nth": 2}, "effect": {"kind": "drop_after_accept"}}
    ]));
    let ids = site.paid_bookings(2);
    for id in &ids {
        site.wait_for_state(id, "unknown", SOON);
    }
    site.stop(StopMode::Fast);
    write(&watch.folder.join("offset"), -3600);
    site.start_again();
    site.wait_all_synced(SOON);
    assert!(!site.log().contains("system clock changed"), "no worker noticed it");
    site.assert_once_each(&ids);
}

#[test]
fn a_clock_change_is_applied_after_a_lock_is_released() {
    let watch = Watch::start("locked");
    let site = &watch.site;
    site.sim.knobs(json!({"visible_ms": [40_000, 40_000]}));
    site.sim.fault(json!({"match": {"operation": "create", "nth": 1}, "effect": {"kind": "drop_after_accept"}}));
    let id = site.paid_booking();
    site.sim.wait_for_calls("search", 1, SOON);
    let mut session = site.client();
    session.batch_execute("BEGIN; LOCK TABLE guestly.queue IN ACCESS EXCLUSIVE MODE").unwrap();
    // On, not back: Postgres's own lock_timeout, measured against the wall, does not end a wait that began before.
    watch.jump(3600);
    site.worker_waited_in_vain();
    assert!(!site.log().contains("system clock changed"), "logged before it was done");
    session.batch_execute("COMMIT").unwrap();
    watch.wait_until_noticed();
    site.wait_all_synced(SOON);
    assert_eq!(site.sim.calls("create"), 1);
    site.assert_once_each(&[id]);
}

#[test]
fn a_clock_change_keeps_the_age_of_locks() {
    let watch = Watch::start("held");
    let site = &watch.site;
    let id = site.paid_booking();
    site.wait_all_synced(SOON);
    site.sql("SELECT guestly_pause()");
    site.sql(&format!("UPDATE bookings SET adults = 1 + adults WHERE id = '{id}'; SELECT guestly.requeue(ARRAY['{id}'], ARRAY[NULL::date], false)"));
    let age = "SELECT extract(epoch FROM clock_timestamp() - changed_at)::float8 FROM guestly.reservations";
    let before: f64 = site.query_one(age);
    watch.jump(3600);
    watch.wait_until_noticed();
    let after: f64 = site.query_one(age);
    assert!((before - 1.0..before + 600.0).contains(&after), "{before} s ago is {after} s ago now");
}

#[test]
fn a_clock_change_does_not_change_a_retry_after_pause() {
    for by in [3600, -3600] {
        let watch = Watch::start(&format!("pause{by}"));
        let site = &watch.site;
        site.sim.fault(
            json!({"match": {"operation": "create", "nth": 1}, "effect": {"kind": "rate_limit", "retry_after": "5"}}),
        );
        let id = site.paid_booking();
        site.sim.wait_for_calls("create", 1, SOON);
        watch.jump(by);
        site.wait_all_synced(SOON);
        assert_eq!(site.sim.metrics()["calls_before_retry_after_ended"], 0, "{by}");
        site.assert_once_each(&[id]);
    }
}
