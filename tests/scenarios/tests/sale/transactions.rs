//! Triggers within one transaction: savepoints, many statements, long locks.

use guestly_scenarios::{AT_ONCE, SOON, Site, host};
use std::time::Instant;

/// A host trigger sets the status: the extension's statement triggers do not fire then.
const CANCELLED_BY_DATE: &str = "CREATE FUNCTION cancelled() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
     IF NEW.cancelled_at IS NOT NULL THEN NEW.status = 'cancelled'; END IF; RETURN NEW; END $$; \
     CREATE TRIGGER cancelled BEFORE UPDATE ON bookings FOR EACH ROW EXECUTE FUNCTION cancelled()";

fn synced(bookings: u32) -> (Site, Vec<String>) {
    let site = Site::open();
    let ids = site.paid_bookings(bookings);
    site.wait_all_synced(SOON);
    (site, ids)
}

#[test]
fn a_rolled_back_savepoint_discards_only_its_changes() {
    let (site, ids) = synced(3);
    let unpaid = host::make_bookings(&site, 1).remove(0);
    site.sql(CANCELLED_BY_DATE);
    site.sql(&format!(
        "BEGIN; UPDATE bookings SET cancelled_at = now() WHERE id = '{}'; \
         SAVEPOINT s; UPDATE bookings SET adults = 1, children = 0 WHERE id = '{}'; \
         UPDATE bookings SET payment_status = 'completed' WHERE id = '{unpaid}'; ROLLBACK TO s; \
         UPDATE bookings SET adults = 4, children = 0 WHERE id = '{}'; COMMIT",
        ids[0], ids[1], ids[2]
    ));
    let log = |id: &str| site.log_of(id);
    site.wait_for(
        "both changes",
        SOON,
        "SELECT count(*) = 2, string_agg(operation, ' ') FROM guestly.attempts WHERE operation IN ('status', 'guests')",
    );
    assert_eq!(log(&ids[0])[1], "status:changed", "noted before the savepoint");
    assert_eq!(log(&ids[1]), ["create:created"], "rolled back");
    assert_eq!(log(&ids[2])[1], "guests:changed");
    assert!(log(&unpaid).is_empty(), "its payment was rolled back");
}

#[test]
fn many_changes_take_one_subtransaction() {
    let (site, ids) = synced(3);
    site.alter_system("guestly_sync.enabled", "off");
    let mut session = site.client();
    session.batch_execute("BEGIN").unwrap();
    for adults in 1..=100 {
        let change = format!("UPDATE bookings SET adults = {adults} WHERE id = '{}'", ids[adults % 2]);
        session.batch_execute(&change).unwrap();
    }
    // Each subtransaction that writes takes a transaction id of its own.
    let own = "SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'transactionid'";
    let taken: i64 = session.query_one(own, &[]).unwrap().get(0);
    assert!(taken <= 2, "{taken} transaction ids");
    session.batch_execute("COMMIT").unwrap();
    let mut noted: Vec<String> = site.query_all("SELECT booking_id FROM guestly.changes");
    noted.sort();
    let mut expected = ids[..2].to_vec();
    expected.sort();
    assert_eq!(noted, expected);
}

#[test]
fn a_long_lock_is_waited_for_once_per_transaction() {
    let site = Site::open();
    site.alter_system("guestly_sync.enabled", "off");
    let ids = host::make_bookings(&site, 120);
    let mut holder = site.client();
    holder.batch_execute("BEGIN; LOCK TABLE guestly.queue IN ACCESS EXCLUSIVE MODE").unwrap();
    let pay = |id: &String| format!("UPDATE bookings SET payment_status = 'completed' WHERE id = '{id}'");
    let all: Vec<String> = ids.iter().map(pay).collect();
    let began = Instant::now();
    site.sql(&format!("BEGIN; {}; COMMIT", all.join("; ")));
    let took = began.elapsed();
    holder.batch_execute("COMMIT").unwrap();
    // A tenth of a second each would be twelve seconds.
    assert!(took < AT_ONCE, "the sales took {took:?}");
}

#[test]
fn an_extension_dropped_after_a_change_warns_nothing() {
    let (site, ids) = synced(1);
    let drop =
        format!("BEGIN; UPDATE bookings SET adults = 1 WHERE id = '{}'; DROP EXTENSION guestly_sync; COMMIT", ids[0]);
    site.sql(&drop);
    assert!(!site.log().contains("could not queue"), "{}", site.log());
}
