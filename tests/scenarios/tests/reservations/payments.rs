//! Recording payments: off by default; recorded exactly once, whatever fails.

use guestly_scenarios::{SOON, Site, host};
use serde_json::{Value, json};

/// A site that records payments.
fn recording() -> Site {
    Site::open_with(|options| options.setting("guestly_sync.record_payment", "on"))
}

fn payments(site: &Site, id: &str) -> Vec<Value> {
    site.only_reservation(id)["payments"].as_array().cloned().unwrap_or_default()
}

/// The only payment of a booking.
#[track_caller]
fn payment(site: &Site, id: &str) -> Value {
    let mut found = payments(site, id);
    assert_eq!(found.len(), 1, "{found:?}, {:?}", site.log_of(id));
    found.remove(0)
}

/// A fault of the next record of a payment.
fn next_record(effect: Value) -> Value {
    json!({"match": {"operation": "payment", "method": "POST", "count": 1}, "effect": effect})
}

fn log_after_create(site: &Site, id: &str) -> Vec<String> {
    site.log_of(id).into_iter().skip(1).collect()
}

#[test]
fn payments_are_recorded_only_if_configured() {
    let site = Site::open();
    let old = site.paid_booking();
    site.wait_all_synced(SOON);
    assert_eq!(site.sim.calls("payment"), 0);
    site.alter_system("guestly_sync.record_payment", "on");
    let new = site.paid_booking();
    site.sql(&format!("UPDATE bookings SET adults = adults + 1 WHERE id = '{old}'"));
    site.wait_for(
        "the change",
        SOON,
        "SELECT count(*) = 1, count(*)::text FROM guestly.attempts WHERE operation = 'guests'",
    );
    site.wait_all_synced(SOON);
    assert_eq!(
        (payments(&site, &old).len(), payments(&site, &new).len()),
        (0, 1),
        "the old payment may have been recorded manually"
    );
}

#[test]
fn a_payment_is_recorded_once_with_its_reference() {
    let site = recording();
    let id = site.synced_booking();
    let (row, payment) = (site.row(&id), payment(&site, &id));
    assert_eq!(payment["amount"].as_f64(), row["total"].as_f64());
    assert_eq!(payment["paymentMethod"]["method"], "OTHER");
    let note = payment["note"].as_str().unwrap_or_default();
    for part in ["stripe_payment_intent_id", "booking_reference", "id"] {
        assert!(note.contains(row[part].as_str().unwrap()), "{part}: {note}");
    }
    assert_eq!(log_after_create(&site, &id), ["list_payments:not_recorded", "record_payment:recorded"]);
    assert_eq!((site.sim.calls("create"), site.sim.calls("payment"), site.booking(&id).attempts), (1, 2, 1));
    assert!(site.sim.violations().is_empty(), "too soon after the create: {:?}", site.sim.violations());
    site.sql(&format!("UPDATE bookings SET total = total + 5, guest_phone = '+49 30 555 0100' WHERE id = '{id}'"));
    site.wait_for("the change to be seen", SOON, "SELECT NOT EXISTS (SELECT FROM guestly.changes), 'not yet'");
    site.wait_all_synced(SOON);
    assert_eq!(payments(&site, &id).len(), 1, "never twice, not even another amount");
}

/// A site whose first payment call has this effect; gives the calls after the create. The payment is recorded once.
fn recorded_despite(effect: Value) -> (Site, Vec<String>) {
    let site = recording();
    site.sim.fault(next_record(effect));
    let id = site.synced_booking();
    payment(&site, &id);
    let log = log_after_create(&site, &id);
    (site, log)
}

#[test]
fn a_payment_with_a_lost_answer_is_recorded_once() {
    for (name, effect) in [
        ("the answer is lost", json!({"kind": "drop_after_accept", "how": "rst"})),
        ("it is half an answer", json!({"kind": "drop_after_accept", "how": "half_body"})),
        ("it failed and took effect", json!({"kind": "status", "code": 502, "committed": true})),
    ] {
        let (site, log) = recorded_despite(effect);
        assert_eq!(log.last().map(String::as_str), Some("list_payments:recorded"), "{name}: {log:?}");
        assert_eq!(log.iter().filter(|call| call.starts_with("record_payment")).count(), 1, "{name}: {log:?}");
        site.sim.assert_no_violation();
    }
}

#[test]
fn a_payment_without_effect_is_recorded_again() {
    for (name, effect) in [
        ("it failed", json!({"kind": "status", "code": 503})),
        ("it never arrived", json!({"kind": "drop_before_accept", "how": "rst"})),
        ("yes was said to nothing", json!({"kind": "status", "code": 201, "body": "[]"})),
    ] {
        let (site, log) = recorded_despite(effect);
        let [.., list, record] = log.as_slice() else { panic!("{log:?}") };
        assert_eq!(
            (list.as_str(), record.as_str()),
            ("list_payments:not_recorded", "record_payment:recorded"),
            "{name}"
        );
        site.sim.assert_no_violation();
    }
}

#[test]
fn a_worker_killed_during_a_payment_records_it_once() {
    let site = recording();
    site.sim.fault(
        json!({"match": {"operation": "payment", "method": "POST"}, "effect": {"kind": "hold", "when": "after"}}),
    );
    let id = site.paid_booking();
    site.wait_for(
        "the record to be in flight",
        SOON,
        "SELECT bool_or(operation = 'record_payment'), string_agg(operation, ' ') FROM guestly.queue WHERE state = 'sending'",
    );
    // The list was read before it.
    site.sim.wait_for_calls("payment", 2, SOON);
    site.kill_worker(&site, "TERM");
    site.sim.clear_faults();
    site.sim.release();
    site.wait_all_synced(SOON);
    payment(&site, &id);
    site.sim.assert_no_violation();
}

#[test]
fn a_payment_after_the_create_is_recorded() {
    let site = recording();
    let id = host::make_bookings(&site, 1).remove(0);
    site.sql(&format!("UPDATE bookings SET status = 'confirmed' WHERE id = '{id}'"));
    site.sql(&format!("SELECT guestly_sync('{id}', force => true)"));
    site.wait_synced(&id);
    site.wait_drained();
    assert_eq!((payments(&site, &id).len(), site.sim.calls("payment")), (0, 0), "not paid yet");
    host::pay(&site, std::slice::from_ref(&id));
    site.wait_for(
        "the payment",
        SOON,
        "SELECT count(*) = 1, count(*)::text FROM guestly.attempts WHERE operation = 'record_payment'",
    );
    site.wait_all_synced(SOON);
    payment(&site, &id);
    assert_eq!(site.sim.calls("create"), 1);
}

#[test]
fn a_payment_method_that_charges_cards_is_never_sent() {
    let site = Site::open_with(|options| {
        options.setting("guestly_sync.record_payment", "on").setting("guestly_sync.payment_method_name", "STRIPE")
    });
    let id = site.synced_booking();
    assert_eq!(payment(&site, &id)["paymentMethod"]["method"], "OTHER");
    let said: String = site.query_one(
        "SELECT status || ': ' || detail || ' - ' || fix FROM guestly_doctor() WHERE check_name = 'payments'",
    );
    assert!(
        said.starts_with("warn: ") && said.contains("charge a card") && said.contains("ALTER SYSTEM RESET"),
        "{said}"
    );
    site.sim.assert_no_violation();
}

#[test]
fn a_refused_payment_keeps_the_reservation() {
    let site = Site::open_with(|options| {
        options
            .setting("guestly_sync.record_payment", "on")
            .setting("guestly_sync.payment_path", "/payments/{id}/nowhere")
    });
    let id = site.paid_booking();
    let error = site.wait_failed(&id);
    assert!(error.starts_with("refused: the payment was not recorded: ") && error.contains("payment_path"), "{error}");
    assert_eq!(site.only_reservation(&id)["status"], "confirmed");
    site.sql("ALTER SYSTEM RESET guestly_sync.payment_path");
    site.alter_system("guestly_sync.payment_path", "/reservations/{id}/payments");
    assert_eq!(site.query_one::<i64>("SELECT guestly_retry_failed()"), 1);
    site.wait_all_synced(SOON);
    payment(&site, &id);
    assert_eq!(site.sim.calls("create"), 1);
}

#[test]
fn a_payment_prefetched_before_a_pause_is_recorded_once() {
    let site = Site::open_with(|options| {
        options.setting("guestly_sync.record_payment", "on").setting("guestly_sync.concurrency", "2")
    });
    let payment_call =
        |method: &str, effect: Value| json!({"match": {"operation": "payment", "method": method}, "effect": effect});
    site.sim.fault(payment_call("GET", json!({"kind": "hold", "when": "after"})));
    site.sim.fault(payment_call("POST", json!({"kind": "latency", "ms": 2000})));
    let ids = site.paid_bookings(2);
    let both = |operation: &str| {
        let claimed = format!(
            "SELECT count(*) = 2, string_agg(concat_ws(' ', state, operation), '; ') FROM guestly.queue \
             WHERE state = 'sending' AND operation = '{operation}'"
        );
        site.wait_for(&format!("two claims for {operation}"), SOON, &claimed);
    };
    both("list_payments");
    site.alter_system("guestly_sync.concurrency", "1");
    site.sim.release();
    both("record_payment");
    site.sql("SELECT guestly_pause('maintenance')");
    let absent = "SELECT count(*) = 1, string_agg(payment, ' ') FROM guestly.reservations WHERE payment = 'absent'";
    site.wait_for("the prefetched payment to count as not recorded", SOON, absent);
    site.sql("SELECT guestly_resume()");
    site.wait_at_rest();
    ids.iter().for_each(|id| drop(payment(&site, id)));
    site.sim.assert_no_violation();
}
