//! Indexes: every query on a large table of bookings uses one, whether the host or the extension created it.

use guestly_scenarios::{Site, host};

/// The server's plan for a query, with a table large enough that reading all of it is the worst choice.
fn plan(site: &Site, query: &str) -> String {
    site.query_all::<String>(&format!("EXPLAIN {query}")).join("\n")
}

fn indexes(site: &Site) -> Vec<String> {
    site.query_all(
        "SELECT indexname::text FROM pg_indexes WHERE tablename = 'bookings' AND indexname LIKE 'bookings_guestly%' ORDER BY 1",
    )
}

#[test]
fn queries_on_a_fresh_table_use_an_index() {
    let site = Site::bare_with(|options| options);
    host::create_extension(&site);
    let made = indexes(&site);
    assert_eq!(made.len(), 3, "{made:?}");
    host::make_bookings(&site, 20_000);
    site.sql("UPDATE bookings SET guestly_reservation_id = 'r' || booking_reference, guestly_sync_status = 'synced'");
    site.sql("VACUUM ANALYZE bookings");
    for (question, query) in [
        ("by its reservation", "SELECT id FROM bookings WHERE guestly_reservation_id = 'r1'"),
        ("what failed", "SELECT id FROM bookings WHERE guestly_sync_status = 'failed'"),
    ] {
        let plan = plan(&site, query);
        assert!(plan.contains("Index") && !plan.contains("Seq Scan"), "{question}: {plan}");
    }
    // The sweep, as the statistics show it.
    site.alter_system("guestly_sync.poll_interval", "100ms");
    let scans = "SELECT sum(idx_scan) > 0, coalesce(sum(idx_scan), 0)::text FROM pg_stat_user_indexes \
                 WHERE relname = 'bookings' AND indexrelname LIKE '%guestly_open%'";
    site.wait_for("the sweep to use its index", guestly_scenarios::SOON, scans);
}

#[test]
fn existing_host_indexes_are_reused() {
    let site = Site::bare_with(|options| options);
    host::add_sync_columns(&site);
    host::create_extension(&site);
    let made = indexes(&site);
    assert!(made.len() < 3 && made.iter().any(|name| name.contains("open")), "{made:?}");
    let before = made.clone();
    site.sql("SELECT guestly_attach('bookings')");
    assert_eq!(indexes(&site), before, "attaching again adds nothing");
}
