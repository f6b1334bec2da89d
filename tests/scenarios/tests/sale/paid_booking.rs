//! The main path: a payment becomes exactly one reservation with every field correct. A rolled-back payment or an old
//! booking becomes none, and no sale waits for Guestly.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests, too")]

use guestly_scenarios::{AT_ONCE, SOON, Site, host};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::time::Instant;

/// The body of a create as the host's row says it should be.
fn expected(row: &Value, status: &str) -> Value {
    let number = |name: &str| row[name].as_u64().unwrap_or_default();
    let listing = host::LISTINGS.iter().find(|(slug, _)| row["slug"] == *slug).unwrap().1;
    let phone: String = row["guest_phone"].as_str().unwrap().chars().filter(|c| *c != ' ').collect();
    json!({
        "listingId": listing, "source": "website", "status": status,
        "checkInDateLocalized": row["check_in_date"], "checkOutDateLocalized": row["check_out_date"],
        "guestsCount": number("adults") + number("children"),
        "numberOfGuests": {
            "numberOfAdults": row["adults"], "numberOfChildren": row["children"],
            "numberOfInfants": row["infants"], "numberOfPets": u64::from(row["has_pet"] == true),
        },
        "guest": {
            "firstName": row["guest_first_name"], "lastName": row["guest_last_name"],
            "email": row["guest_email"], "phones": [phone],
        },
        "accommodationFare": row["total"], "cleaningFee": 0,
        "applyPromotions": false, "ignoreCalendar": false, "ignoreTerms": false, "ignoreBlocks": false,
        "confirmationCode": row["booking_reference"], "origin": "guestly_sync", "originId": row["id"],
    })
}

fn list(ids: &[String]) -> String {
    format!("ARRAY['{}']::uuid[]", ids.join("','"))
}

/// Thirty bookings, six for each payment status that counts as paid.
fn pay_in_every_way(site: &Site) -> Vec<String> {
    // This host writes `completed`; others write `paid`.
    site.sql("ALTER TABLE bookings DROP CONSTRAINT bookings_payment_status_check");
    let ids = host::make_bookings(site, 30);
    site.sql(&format!("UPDATE bookings SET has_pet = true WHERE id = ANY ({})", list(&ids[..15])));
    let refused = site.try_sql_as("authenticated", "SELECT count(*) FROM guestly.queue").unwrap_err();
    assert!(refused.starts_with("42501"), "{refused}");
    // An unmapped status of payment first: it must not count.
    site.sql(&format!("UPDATE bookings SET payment_status = 'processing' WHERE id = ANY ({})", list(&ids[..6])));
    site.sql(&format!("UPDATE bookings SET payment_status = 'paid' WHERE id = ANY ({})", list(&ids[..6])));
    host::pay(site, &ids[6..12]);
    site.sql(&format!(
        "CREATE TEMP TABLE moved AS SELECT * FROM bookings WHERE id = ANY ({0}); \
         DELETE FROM bookings WHERE id = ANY ({0}); \
         UPDATE moved SET payment_status = 'paid', status = 'completed'; INSERT INTO bookings SELECT * FROM moved",
        list(&ids[12..18])
    ));
    for id in &ids[18..24] {
        let pay = format!("UPDATE bookings SET payment_status = 'completed', status = 'confirmed' WHERE id = '{id}'");
        site.try_sql_as("authenticated", &pay).unwrap();
    }
    ids[24..].iter().for_each(|id| host::pay_by_webhook(site, id));
    ids
}

#[test]
fn every_field_of_a_reservation_is_correct() {
    let site = Site::open();
    let ids = pay_in_every_way(&site);
    site.wait_for_status(&ids, "synced");
    site.wait_drained();
    let mut reservations = HashSet::new();
    for (index, id) in ids.iter().enumerate() {
        let (row, reservation) = (site.row(id), site.only_reservation(id));
        let status = if index < 6 { "inquiry" } else { "confirmed" };
        assert_eq!(reservation["received"], expected(&row, status), "booking {index}");
        assert_eq!(row["guestly_sync_attempts"], 1, "{row}");
        assert_eq!(row["guestly_sync_error"], Value::Null);
        assert!(reservations.insert(reservation["reservationId"].to_string()));
    }
    let fresh = "SELECT bool_and(guestly_synced_at BETWEEN now() - interval '5 min' AND now()) FROM bookings";
    assert!(site.query_one::<bool>(fresh));
    assert_eq!((site.sim.state().len(), site.sim.calls("create"), site.sim.calls("search")), (30, 30, 0));
    assert_eq!(site.sim.metrics()["tokens_issued"], 1);
    assert!(site.sim.violations().is_empty(), "{:?}", site.sim.violations());
    let log = "SELECT count(*) FROM guestly.attempts WHERE operation = 'create' AND attempt = 1 AND outcome = 'created' \
               AND http_status = 201 AND error IS NULL AND request_id IS NOT NULL AND duration_ms >= 0";
    assert_eq!(site.query_one::<i64>(log), 30);
    assert_eq!(site.query_one::<i64>("SELECT count(*) FROM guestly.attempts"), 31, "one row a call, the token's too");
    let known = "SELECT count(*) FROM guestly.reservations r JOIN bookings b ON b.id::text = r.booking_id \
                 AND b.guestly_reservation_id = r.reservation_id AND b.booking_reference = r.confirmation_code";
    assert_eq!(site.query_one::<i64>(known), 30);
}

#[test]
fn a_repeated_payment_update_queues_nothing() {
    let site = Site::open_with(|options| options.setting("guestly_sync.enabled", "off"));
    let id = host::make_bookings(&site, 1).remove(0);
    host::pay_by_webhook(&site, &id);
    let queued = "SELECT string_agg(concat_ws(' ', booking_id, state, attempts, queued_at), ';') FROM guestly.queue";
    let first: String = site.query_one(queued);
    assert!(first.starts_with(&format!("{id} ready 0")) && !first.contains(';'), "{first}");
    host::pay_by_webhook(&site, &id);
    assert_eq!(site.query_one::<String>(queued), first, "paid twice");
    site.alter_system("guestly_sync.enabled", "on");
    site.wait_synced(&id);
    site.wait_drained();
    for status in ["completed", "processing", "completed", "refunded", "completed"] {
        site.sql(&format!("UPDATE bookings SET payment_status = '{status}' WHERE id = '{id}'"));
        // The worker finds that Guestly already has the right values.
        site.wait_for(
            "a look",
            SOON,
            "SELECT NOT EXISTS (SELECT FROM guestly.changes) AND NOT EXISTS (SELECT FROM guestly.queue), 'none'",
        );
    }
    // A later booking, so that effects of the updates would have been seen.
    let after = site.paid_booking();
    site.wait_synced(&after);
    let calls = ["create", "search", "update", "get"].map(|operation| site.sim.calls(operation));
    assert_eq!(calls, [2, 0, 0, 0]);
    assert_eq!(site.row(&id)["guestly_sync_status"], "synced");
    site.sim.assert_no_violation();
}

#[test]
fn a_rolled_back_payment_is_not_sent() {
    let site = Site::open();
    // A host trigger sets the payment status: the extension's statement triggers do not fire then.
    site.sql(
        "CREATE FUNCTION charged() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         IF NEW.stripe_charge_id LIKE 'auto%' THEN NEW.payment_status = 'completed'; END IF; RETURN NEW; END $$; \
         CREATE TRIGGER charged BEFORE UPDATE ON bookings FOR EACH ROW EXECUTE FUNCTION charged()",
    );
    let ids = host::make_bookings(&site, 7);
    let pay = |id: &str| format!("UPDATE bookings SET payment_status = 'completed' WHERE id = '{id}'");
    let charge = |id: &str| format!("UPDATE bookings SET stripe_charge_id = 'auto-1' WHERE id = '{id}'");
    site.sql(&format!("BEGIN; {}; {}; ROLLBACK", pay(&ids[0]), charge(&ids[1])));
    site.sql(&format!(
        "BEGIN; {}; SAVEPOINT a; {}; {}; ROLLBACK TO a; RELEASE a; SAVEPOINT b; {}; RELEASE b; COMMIT",
        pay(&ids[2]),
        pay(&ids[3]),
        charge(&ids[4]),
        charge(&ids[5])
    ));
    site.sql(&format!("DO $$ BEGIN {}; RAISE 'no'; EXCEPTION WHEN raise_exception THEN NULL; END $$", pay(&ids[6])));
    let paid = [ids[2].clone(), ids[5].clone()];
    site.wait_for_status(&paid, "synced");
    site.wait_drained();
    let last = site.paid_booking();
    site.wait_synced(&last);
    let held: HashSet<String> = site.sim.state().iter().map(|r| r["originId"].as_str().unwrap().to_owned()).collect();
    assert_eq!(held, HashSet::from([ids[2].clone(), ids[5].clone(), last]));
    let untouched = "SELECT count(*) FROM bookings WHERE payment_status = 'pending' AND guestly_sync_status = 'pending' \
                     AND guestly_sync_attempts = 0";
    assert_eq!(site.query_one::<i64>(untouched), 5);
}

#[test]
fn bookings_that_were_paid_before_are_left_alone() {
    let site = Site::bare_with(|options| options.setting("guestly_sync.poll_interval", "100ms"));
    host::add_sync_columns(&site);
    let old = host::make_bookings(&site, 8);
    host::pay(&site, &old[..3]);
    host::pay(&site, &old[5..]);
    // Whatever the status of an old row says.
    for (id, status) in old[5..].iter().zip(["'failed'", "NULL", "'synced'"]) {
        site.sql(&format!("UPDATE bookings SET guestly_sync_status = {status} WHERE id = '{id}'"));
    }
    host::create_extension(&site);
    host::map_listings(&site);
    host::pay_by_webhook(&site, &old[0]);
    site.sql(&format!("UPDATE bookings SET payment_status = 'processing' WHERE id = '{}'", old[1]));
    host::pay_by_webhook(&site, &old[1]);
    // An old row that is paid only now is a new booking. One is paid while no trigger fires: once it is synced, a
    // sweep has seen the others too.
    host::pay(&site, &old[3..4]);
    site.sql(&format!(
        "SET session_replication_role = replica; UPDATE bookings SET payment_status = 'completed', \
                       status = 'confirmed' WHERE id = '{}'",
        old[4]
    ));
    site.wait_for_status(&old[3..5], "synced");
    site.wait_drained();
    assert_eq!(site.sim.state().len(), 2);
    for id in &old[..3] {
        let row = site.row(id);
        assert_eq!((&row["guestly_sync_status"], &row["guestly_sync_attempts"]), (&json!("pending"), &json!(0)));
        let why: String = site.query_one(&format!("SELECT detail FROM guestly_timeline('{id}'::uuid)"));
        assert!(why.contains("paid before the table was attached") && why.contains("guestly_sync("), "{why}");
    }
    for id in &old[5..] {
        let row = site.row(id);
        assert_eq!((&row["guestly_sync_attempts"], &row["guestly_reservation_id"]), (&json!(0), &json!(null)), "{row}");
    }
    let sent: String = site.query_one(&format!("SELECT guestly_sync('{}'::uuid)", old[2]));
    assert_eq!(sent, "queued");
    site.wait_synced(&old[2]);
    assert!(site.sim.calls("search") >= 1, "an old booking may be in Guestly, so it is looked up first");
    site.sim.assert_no_violation();
}

#[test]
fn a_slow_api_delays_no_sale() {
    let site = Site::open();
    let ids = host::make_bookings(&site, 21);
    site.sim.fault(json!({"match": {"operation": "create", "count": 1}, "effect": {"kind": "hold"}}));
    host::pay_by_webhook(&site, &ids[0]);
    site.sim.wait_for_calls("create", 1, SOON);
    // A sale that waited for the call would not finish before it.
    let mut session = site.client();
    session.batch_execute("SET statement_timeout = '25s'").unwrap();
    let mut times = Vec::new();
    for id in &ids[1..] {
        let began = Instant::now();
        let pay = "UPDATE bookings SET payment_status = 'completed', status = 'confirmed' WHERE id = $1::text::uuid";
        assert_eq!(session.execute(pay, &[id]).unwrap(), 1);
        times.push(began.elapsed());
    }
    // The row whose call hangs is not locked either.
    let began = Instant::now();
    session.execute("UPDATE bookings SET special_requests = 'a cot' WHERE id = $1::text::uuid", &[&ids[0]]).unwrap();
    times.push(began.elapsed());
    let slowest = times.iter().max().unwrap();
    assert!(*slowest < AT_ONCE, "an update took {slowest:?}");
    // The other bookings do not wait for it either.
    site.wait_for_status(&ids[1..], "synced");
    assert_eq!(site.row(&ids[0])["guestly_sync_status"], "pending", "its call is in flight");
    site.sim.release();
    site.wait_synced(&ids[0]);
    assert_eq!((site.sim.state().len(), site.sim.calls("create")), (21, 21));
    site.sim.assert_no_violation();
}
