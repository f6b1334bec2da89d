//! Retention: `guestly.attempts` is pruned to `log_retention` in small batches, and a finished booking leaves the queue in
//! the transaction that writes its outcome.

use guestly_scenarios::{SOON, Site, wait_until};
use std::collections::BTreeSet;
use std::time::Duration;

#[test]
fn attempts_are_pruned_to_the_retention_in_small_steps() {
    let site = Site::open_with(|options| {
        options.setting("guestly_sync.poll_interval", "200ms").setting("guestly_sync.log_retention", "1h")
    });
    let id = site.paid_booking();
    site.wait_synced(&id);
    site.sql(
        "INSERT INTO guestly.attempts (booking_id, operation, outcome, started_at) SELECT n::text, 'create', 'created', \
         clock_timestamp() - CASE WHEN n <= 3500 THEN interval '61 min' ELSE interval '59 min' END FROM generate_series(1, 3510) n",
    );
    let old = "SELECT count(*) FILTER (WHERE started_at < clock_timestamp() - interval '1 hour') FROM guestly.attempts";
    let fresh: i64 = site
        .query_one("SELECT count(*) FROM guestly.attempts WHERE started_at > clock_timestamp() - interval '1 hour'");
    // Pruning runs once an hour, and at once in a new worker.
    site.kill_worker(&site, "TERM");
    let mut seen = BTreeSet::new();
    wait_until("the old rows to be pruned", SOON, || {
        let left: i64 = site.query_one(old);
        seen.insert(left);
        (left == 0, left.to_string())
    });
    assert!(seen.iter().any(|left| (1..3500).contains(left)), "all at once: {seen:?}");
    assert!(seen.iter().all(|left| left % 500 == 0), "not in steps of a thousand: {seen:?}");
    assert_eq!(site.query_one::<i64>("SELECT count(*) FROM guestly.attempts"), fresh, "recent rows were pruned too");
    // A shorter retention takes effect with its reload.
    site.alter_system("guestly_sync.log_retention", "58min");
    site.wait_for("the rest to be sent", SOON, "SELECT count(*) < 5, count(*)::text FROM guestly.attempts");
    assert!(!site.log_of(&id).is_empty(), "the log of a recent booking must remain");
}

#[test]
fn finished_bookings_leave_the_queue_with_their_outcome() {
    let site = Site::open_with(|options| options.setting("guestly_sync.concurrency", "8"));
    let ids = site.paid_bookings(60);
    let mut client = site.client();
    wait_until("all to be synced", Duration::from_secs(60), || {
        // In one snapshot a booking is either queued or done, never both and never neither.
        let row = client
            .query_one(
                "SELECT count(*) FILTER (WHERE b.guestly_sync_status = 'synced' AND q.booking_id IS NOT NULL), \
                 count(*) FILTER (WHERE b.guestly_sync_status = 'pending' AND q.booking_id IS NULL), \
                 count(*) FILTER (WHERE (b.guestly_sync_status = 'synced') <> (r.booking_id IS NOT NULL)), \
                 count(*) FILTER (WHERE b.guestly_sync_status = 'synced') \
                 FROM bookings b LEFT JOIN guestly.queue q ON q.booking_id = b.id::text \
                 LEFT JOIN guestly.reservations r ON r.booking_id = b.id::text",
                &[],
            )
            .unwrap();
        let [both, neither, unlike, synced] = [0, 1, 2, 3].map(|column| row.get::<_, i64>(column));
        assert_eq!((both, neither, unlike), (0, 0, 0), "queue, bookings and reservations disagree");
        (synced == 60, format!("{synced} synced"))
    });
    assert_eq!(site.query_one::<i64>("SELECT count(*) FROM guestly.queue"), 0);
    site.assert_once_each(&ids);
    // The queue had many short-lived rows; few dead ones remain, and vacuum removes them.
    site.sql("VACUUM guestly.queue");
    let size: i64 = site.query_one("SELECT pg_relation_size('guestly.queue')");
    assert!(size <= 65536, "an empty queue of {size} bytes");
}
