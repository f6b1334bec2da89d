//! Changes after the payment: Guestly is updated with the fewest calls, and no change is lost, whatever call is in flight.
//! The simulator's settle window is 1.8 s.

use guestly_scenarios::{SOON, Site, host};
use serde_json::{Value, json};

/// A synced booking.
fn synced() -> (Site, String) {
    let site = Site::open();
    let id = site.synced_booking();
    (site, id)
}

/// Guestly's reservation and `guestly.reservations` equal the booking's row.
fn assert_equal(site: &Site, id: &str) {
    let (row, held) = (site.row(id), site.only_reservation(id));
    for (column, field) in [("check_in_date", "checkInDateLocalized"), ("check_out_date", "checkOutDateLocalized")] {
        assert_eq!(row[column], held[field], "{column}: {held}");
    }
    for (column, field) in
        [("adults", "numberOfAdults"), ("children", "numberOfChildren"), ("infants", "numberOfInfants")]
    {
        assert_eq!(row[column], held["numberOfGuests"][field], "{column}: {held}");
    }
    let listing = host::LISTINGS.iter().find(|(slug, _)| row["slug"] == *slug).map(|(_, listing)| json!(listing));
    assert_eq!(listing.as_ref(), Some(&held["listingId"]));
    let known: Value =
        site.query_one(&format!("SELECT to_jsonb(r) FROM guestly.reservations r WHERE booking_id = '{id}'"));
    let seen = ["status", "listing_id", "check_in", "check_out"].map(|name| known[name].clone());
    let there = ["status", "listingId", "checkInDateLocalized", "checkOutDateLocalized"].map(|name| held[name].clone());
    assert_eq!(seen, there, "the known reservation differs from Guestly's");
    let seen = ["adults", "children", "infants", "pets"].map(|name| known[name].clone());
    let party = ["numberOfAdults", "numberOfChildren", "numberOfInfants", "numberOfPets"];
    assert_eq!(seen, party.map(|name| held["numberOfGuests"][name].clone()), "the expected arrivals");
    site.sim.assert_no_violation();
}

#[test]
fn each_aspect_changes_with_one_call() {
    let (site, id) = synced();
    site.update(
        &id,
        "check_in_date = check_in_date + 300, check_out_date = check_out_date + 301, adults = 3, infants = 0, \
                        property_id = (SELECT id FROM properties WHERE slug = 'roof-studio')",
    );
    site.wait_at_rest();
    assert_equal(&site, &id);
    let log = site.log_of(&id);
    assert_eq!(log, ["create:created", "relocate:changed", "dates:changed", "guests:changed", "read_back:confirmed"]);
    let booking = site.booking(&id);
    assert_eq!((booking.status.as_str(), booking.error), ("synced", None));
    let early = site.sim.violations();
    assert!(early.is_empty(), "calls that came too soon: {early:?}");
}

#[test]
fn changes_of_unmapped_columns_cost_no_call() {
    let (site, id) = synced();
    let before = site.sim.call_log(None).len();
    site.update(
        &id,
        "updated_at = now(), marketing_consent = true, confirmed_at = now(), guestly_sync_error = 'x', \
                        guestly_synced_at = now(), guestly_sync_attempts = 7",
    );
    site.update(&id, "adults = adults, check_in_date = check_in_date");
    assert_eq!(
        site.query_one::<i64>("SELECT (SELECT count(*) FROM guestly.changes) + (SELECT count(*) FROM guestly.queue)"),
        0
    );
    let unpaid = host::make_bookings(&site, 1).remove(0);
    site.update(&unpaid, "adults = 2, check_out_date = check_out_date + 1");
    assert_eq!(site.query_one::<i64>("SELECT count(*) FROM guestly.changes"), 0, "a booking that was never paid");
    // Guestly has no call that changes the guest of a reservation, so nothing is sent.
    site.update(&id, "guest_phone = '+49 30 555 0199', guest_email = 'other@example.com', guest_last_name = 'Other'");
    site.wait_at_rest();
    assert_eq!(site.log_of(&id), ["create:created", "plan:nothing_to_do"]);
    assert_eq!(site.sim.call_log(None).len(), before, "a call that was not needed");
}

#[test]
fn a_change_before_the_booking_is_sent_goes_with_the_create() {
    let site = Site::open();
    site.sql("SELECT guestly_pause()");
    let id = site.paid_booking();
    let changes = "check_out_date = check_out_date + 100, check_in_date = check_in_date + 99, adults = 3, \
                   guest_first_name = 'Grace', guest_email = 'grace@example.com', guest_phone = '+49 30 555 0142'";
    site.update(&id, changes);
    site.sql("SELECT guestly_resume()");
    site.wait_at_rest();
    assert_equal(&site, &id);
    let guest = site.only_reservation(&id)["received"]["guest"].clone();
    assert_eq!(
        (&guest["firstName"], &guest["email"], &guest["phones"][0]),
        (&json!("Grace"), &json!("grace@example.com"), &json!("+49305550142"))
    );
    assert_eq!(site.sim.call_log(None).len(), 2, "a token and a create");
}

#[test]
fn a_change_reverted_before_sending_costs_no_call() {
    let (site, id) = synced();
    let before = site.sim.call_log(None).len();
    site.sql("SELECT guestly_pause()");
    site.update(&id, "adults = adults + 2, check_out_date = check_out_date + 1, status = 'cancelled'");
    site.update(&id, "adults = adults - 2, check_out_date = check_out_date - 1, status = 'confirmed'");
    site.sql("SELECT guestly_resume()");
    site.wait_at_rest();
    assert_equal(&site, &id);
    assert_eq!(
        (site.log_of(&id).pop().as_deref(), site.sim.call_log(None).len()),
        (Some("plan:nothing_to_do"), before)
    );
}

#[test]
fn a_booking_that_was_sent_unpaid_is_confirmed_when_it_is_paid() {
    let site = Site::open();
    let id = host::make_bookings(&site, 1).remove(0);
    site.sql(&format!("SELECT guestly_sync('{id}'::uuid, force => true)"));
    site.wait_synced(&id);
    assert_eq!(site.only_reservation(&id)["status"], "inquiry");
    host::pay(&site, std::slice::from_ref(&id));
    site.wait_at_rest();
    assert_equal(&site, &id);
    assert_eq!(site.only_reservation(&id)["status"], "confirmed");
    assert_eq!(site.log_of(&id), ["create:created", "status:changed", "read_back:confirmed"]);
}

#[test]
fn changes_of_different_bookings_run_side_by_side() {
    let site = Site::open();
    let ids = site.paid_bookings(3);
    site.wait_all_synced(SOON);
    site.sim.hold("update", "before");
    ids.iter().for_each(|id| site.update(id, "adults = 4, children = 0, infants = 1"));
    let in_flight =
        "SELECT count(*) = 3, count(*)::text FROM guestly.queue WHERE state = 'sending' AND operation = 'guests'";
    site.wait_for("three changes in flight", SOON, in_flight);
    site.sim.release();
    site.wait_at_rest();
    ids.iter().for_each(|id| assert_equal(&site, id));
    assert_eq!(site.sim.calls("update"), 3);
}

#[test]
fn a_change_while_the_create_is_in_flight_is_not_lost() {
    for effect in [json!({"kind": "latency", "ms": 700}), json!({"kind": "drop_after_accept", "how": "rst"})] {
        let site = Site::open();
        site.sim.fault(json!({"match": {"operation": "create"}, "effect": effect}));
        let id = site.paid_booking();
        site.wait_for(
            "the create to be in flight or lost",
            SOON,
            "SELECT state IN ('sending', 'unknown'), state FROM guestly.queue",
        );
        site.update(
            &id,
            "check_out_date = check_out_date + 200, check_in_date = check_in_date + 199, adults = 4, children = 0",
        );
        site.wait_at_rest();
        assert_equal(&site, &id);
        assert_eq!(site.sim.calls("create"), 1, "{effect}");
    }
}

#[test]
fn a_change_whose_answer_is_lost_is_made_once() {
    let cases = [
        (json!({"kind": "drop_after_accept", "how": "rst"}), 1),
        (json!({"kind": "status", "code": 503, "committed": true}), 1),
        (json!({"kind": "drop_before_accept", "how": "fin"}), 2),
    ];
    for (effect, calls) in cases {
        let (site, id) = synced();
        site.sim.fault(json!({"match": {"operation": "update", "nth": 1}, "effect": effect}));
        site.update(&id, "adults = 4, children = 0");
        site.wait_at_rest();
        assert_equal(&site, &id);
        assert_eq!(
            (site.sim.calls("update"), site.sim.calls("create")),
            (calls, 1),
            "{effect}: {:?}",
            site.log_of(&id)
        );
    }
}

#[test]
fn a_change_that_guestly_ignores_is_reported() {
    let (site, id) = synced();
    site.sim.fault(json!({"match": {"operation": "update", "count": 1}, "effect": {"kind": "status_silent_ignore"}}));
    site.update(&id, "adults = 4, children = 0");
    site.wait_at_rest();
    assert_equal(&site, &id);
    let log = site.log_of(&id);
    assert_eq!(log[1..], ["guests:changed", "read_back:differs", "guests:changed", "read_back:confirmed"]);
    site.sim.fault(json!({"match": {"operation": "update"}, "effect": {"kind": "status_silent_ignore"}}));
    site.update(&id, "adults = 1");
    let error = site.wait_failed(&id);
    assert!(error.starts_with("refused: Guestly accepted a change (guests) but did not make it"), "{error}");
    assert!(site.booking(&id).reservation.is_some(), "Guestly has it nevertheless");
    assert_eq!(site.log_of(&id).iter().filter(|row| *row == "guests:changed").count(), 2 + 3, "read three times");
    let reported = format!("SELECT sentence FROM guestly.alerts WHERE booking_id = '{id}' AND kind = 'booking_failed'");
    assert!(site.query_one::<String>(&reported).contains("did not make it"));
    site.sim.clear_faults();
    assert_eq!(site.query_one::<i64>("SELECT guestly_retry_failed()"), 1);
    site.wait_at_rest();
    assert_equal(&site, &id);
    assert_eq!(site.booking(&id).status, "synced");
}

#[test]
fn taken_dates_fail_the_change() {
    let (site, id) = synced();
    site.sim.fault(
        json!({"match": {"operation": "update", "count": 1}, "effect": {"kind": "calendar_conflict", "status": 400}}),
    );
    site.update(&id, "check_in_date = check_in_date + 300, check_out_date = check_out_date + 300");
    let error = site.wait_failed(&id);
    assert!(error.starts_with("dates_taken: "), "{error}");
    site.update(&id, "check_in_date = check_in_date + 30, check_out_date = check_out_date + 30");
    site.wait_at_rest();
    assert_equal(&site, &id);
    assert_eq!(site.booking(&id).status, "synced");
}

#[test]
fn a_corrected_failed_booking_is_queued_again() {
    let site = Site::open();
    let id = host::make_bookings(&site, 1).remove(0);
    site.update(&id, "guest_email = 'unknown'");
    host::pay(&site, std::slice::from_ref(&id));
    let error = site.wait_failed(&id);
    assert!(error.contains("guest_email"), "{error}");
    site.sim.hold("create", "before");
    site.update(&id, "guest_email = 'corrected@example.com'");
    site.sim.wait_for_calls("create", 1, SOON);
    let row = site.booking(&id);
    assert_eq!((row.status.as_str(), row.error, row.attempts), ("pending", None, 0), "the row says that it is retried");
    site.sim.release();
    site.wait_all_synced(SOON);
    site.assert_once_each(&[id]);
}

#[test]
fn the_triggers_watch_what_the_mapping_reads() {
    let (site, id) = synced();
    let watched = || site.query_one::<Vec<String>>("SELECT watched FROM guestly.attachment");
    assert!(
        !watched().contains(&"early_checkin".to_owned()) && watched().contains(&"property_id".to_owned()),
        "{:?}",
        watched()
    );
    site.sql("UPDATE guestly.field_map SET expression = 'b.adults + CASE WHEN b.early_checkin THEN 1 ELSE 0 END' WHERE field = 'adults'");
    assert!(watched().contains(&"early_checkin".to_owned()), "{:?}", watched());
    site.update(&id, "early_checkin = true");
    site.wait_at_rest();
    assert_eq!(site.only_reservation(&id)["numberOfGuests"]["numberOfAdults"], 2);
    site.sql("UPDATE guestly.field_map SET expression = 'b.adults' WHERE field = 'adults'");
    assert!(!watched().contains(&"early_checkin".to_owned()), "{:?}", watched());
    let whole =
        "UPDATE guestly.field_map SET expression = '(to_jsonb(b) ->> ''adults'')::integer' WHERE field = 'adults'";
    site.sql(whole);
    assert!(watched().contains(&"marketing_consent".to_owned()), "the whole row: {:?}", watched());
    assert!(
        !watched().iter().any(|column| column.starts_with("guestly_")),
        "what the worker writes would queue it: {:?}",
        watched()
    );
}

#[test]
fn a_whole_row_mapping_reaches_a_fixed_point() {
    let site = Site::open();
    site.sql(
        "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.updated_at = clock_timestamp(); RETURN NEW; END $$; \
         CREATE TRIGGER touch BEFORE UPDATE ON bookings FOR EACH ROW EXECUTE FUNCTION touch(); \
         UPDATE guestly.field_map SET expression = '(to_jsonb(b) ->> ''adults'')::integer' WHERE field = 'adults'",
    );
    let ids = host::make_bookings(&site, 3);
    // One is synced, one cannot be sent, one is refused by Guestly.
    site.update(&ids[1], "guest_email = 'unknown'");
    host::pay(&site, &ids[..2]);
    site.wait_synced(&ids[0]);
    let refused = json!({"kind": "calendar_conflict", "status": 400});
    site.sim.fault(json!({"match": {"operation": "create"}, "effect": refused}));
    host::pay(&site, &ids[2..]);
    for id in &ids[1..] {
        site.wait_failed(id);
    }
    let other = site.paid_booking();
    site.wait_failed(&other);
    // Everything is done when the worker has had nothing to do in two cycles.
    site.worker_took_a_turn();
    site.worker_took_a_turn();
    let (looks, calls) = ("SELECT count(booking_id) FROM guestly.attempts", site.sim.calls("create"));
    let before: i64 = site.query_one(looks);
    site.worker_took_a_turn();
    site.worker_took_a_turn();
    assert_eq!((site.query_one::<i64>(looks), site.sim.calls("create")), (before, calls), "{:?}", site.log_of(&ids[1]));
    assert!(site.log_of(&ids[0]).len() <= 2, "{:?}", site.log_of(&ids[0]));
    assert_eq!(site.log_of(&ids[1]), ["plan:refused"]);
    assert_eq!(site.booking(&ids[0]).attempts, 1, "a lookup is no attempt");
}

#[test]
fn a_change_made_in_test_mode_is_sent_when_it_ends() {
    let (site, id) = synced();
    site.alter_system("guestly_sync.test_mode", "on");
    site.worker_took_a_turn();
    site.update(&id, "adults = 4, children = 0");
    let other = site.paid_booking();
    site.wait_synced(&other);
    assert_eq!(site.sim.calls("update"), 0);
    site.alter_system("guestly_sync.test_mode", "off");
    site.wait_for(
        "the change",
        SOON,
        "SELECT adults = 4, adults::text FROM guestly.reservations WHERE reservation_id NOT LIKE 'test-%'",
    );
    assert_eq!(site.sim.calls("update"), 1);
}

#[test]
fn a_date_change_is_detected_in_any_datestyle() {
    let site = Site::open_with(|options| options.setting("datestyle", "German, DMY"));
    let id = site.paid_booking();
    site.wait_all_synced(SOON);
    site.update(&id, "check_in_date = check_in_date + 300, check_out_date = check_out_date + 300");
    site.wait_at_rest();
    assert_equal(&site, &id);
}

#[test]
fn a_rolled_back_change_is_not_sent() {
    let (site, id) = synced();
    site.sql(&format!("BEGIN; UPDATE bookings SET adults = 4 WHERE id = '{id}'; ROLLBACK"));
    let nested = format!(
        "DO $$ BEGIN UPDATE bookings SET adults = 3 WHERE id = '{id}'; RAISE EXCEPTION 'no'; EXCEPTION WHEN OTHERS THEN NULL; END $$"
    );
    site.sql(&nested);
    site.wait_at_rest();
    assert_eq!(site.log_of(&id), ["create:created"]);
}
