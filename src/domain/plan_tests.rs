use std::collections::HashMap;

use chrono::NaiveDate;

use super::*;
use crate::domain::booking;
use crate::domain::field::Field;
use crate::domain::snapshot::Snapshot;

fn rules() -> Rules {
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    Rules {
        tables: Tables {
            listings: HashMap::from([pair("flat-1", "64b1f0aa11bb22cc33dd44e1")]),
            statuses: HashMap::from([
                pair("confirmed", "confirmed"),
                pair("cancelled", "canceled"),
                pair("pending", "inquiry"),
            ]),
        },
        source: "website".to_owned(),
        paid: vec!["paid".to_owned()],
        ..Rules::default()
    }
}

fn row(status: &str, payment: &str) -> Row {
    booking::tests::row(&[(Field::Status, Some(status)), (Field::PaymentStatus, Some(payment))])
}

/// Guestly's reservation, equal to `row("confirmed", …)`.
fn existing(id: &str) -> RemoteReservation {
    let snapshot = map(&row("confirmed", "paid"), &rules()).unwrap().snapshot();
    RemoteReservation { reservation_id: id.to_owned(), snapshot, verified: true, ..RemoteReservation::default() }
}

fn remote(id: &str) -> QueueRow {
    QueueRow { remote: Some(existing(id)), ..QueueRow::default() }
}

fn plan(row: &Row, queued: &QueueRow, rules: &Rules) -> Plan {
    super::plan(row, queued, rules, DateTime::UNIX_EPOCH)
}

fn operation(plan: &Plan) -> Option<Operation> {
    match plan {
        Plan::Call(operation, _) => Some(*operation),
        _ => None,
    }
}

#[test]
fn the_table_of_cases() {
    let rules = rules();
    let fresh = QueueRow::default();
    let uncertain = QueueRow { verify_first: true, ..QueueRow::default() };
    let forced = QueueRow { force: true, ..QueueRow::default() };
    assert_eq!(operation(&plan(&row("confirmed", "paid"), &fresh, &rules)), Some(Operation::Create));
    assert_eq!(operation(&plan(&row("confirmed", "completed"), &uncertain, &rules)), Some(Operation::LookUp));
    assert_eq!(operation(&plan(&row("confirmed", "pending"), &forced, &rules)), Some(Operation::Create));
    assert_eq!(operation(&plan(&row("cancelled", "refunded"), &uncertain, &rules)), Some(Operation::LookUp));
    assert_eq!(operation(&plan(&row("confirmed", "refunded"), &fresh, &rules)), Some(Operation::Create));
    assert_eq!(plan(&row("pending", "refunded"), &fresh, &rules), Plan::Withdraw("refunded before it was sent"));
    assert_eq!(operation(&plan(&row("pending", "refunded"), &forced, &rules)), Some(Operation::Create));
    assert_eq!(plan(&row("cancelled", "paid"), &fresh, &rules), Plan::Withdraw("cancelled before it was sent"));
    assert_eq!(plan(&row("confirmed", "paid"), &remote("r1"), &rules), Plan::Done);
    assert!(matches!(plan(&row("odd", "paid"), &fresh, &rules), Plan::Fail(_)));
}

#[test]
fn a_late_payment_event_does_not_withdraw_a_paid_booking() {
    for late in ["processing", "failed", "pending"] {
        assert_eq!(
            operation(&plan(&row("confirmed", late), &QueueRow::default(), &rules())),
            Some(Operation::Create),
            "{late}"
        );
    }
}

#[test]
fn a_made_up_reservation_counts_only_in_test_mode() {
    let paid = row("confirmed", "paid");
    assert_eq!(operation(&plan(&paid, &remote("test-1"), &rules())), Some(Operation::Create));
    let test_mode = Rules { test_mode: true, ..rules() };
    assert_eq!(plan(&paid, &remote("test-1"), &test_mode), Plan::Done);
    // A real reservation is updated once test mode has ended.
    let until = DateTime::UNIX_EPOCH + TEST_MODE_PAUSE;
    assert_eq!(plan(&row("cancelled", "paid"), &remote("r1"), &test_mode), Plan::Wait(until));
}

/// The plan for a booking whose existing reservation was modified by `change`.
fn called(change: impl FnOnce(&mut QueueRow), row: &Row) -> Plan {
    let mut queued = remote("r1");
    change(&mut queued);
    plan(row, &queued, &rules())
}

fn change(queued: &mut QueueRow) -> &mut RemoteReservation {
    queued.remote.as_mut().unwrap()
}

#[test]
fn an_existing_reservation_is_changed_or_read_back() {
    let alive = row("confirmed", "paid");
    let elsewhere = |queued: &mut QueueRow| change(queued).snapshot.check_in = NaiveDate::from_ymd_opt(2027, 5, 9);
    let call = |plan: &Plan| operation(plan);
    assert_eq!(call(&called(elsewhere, &alive)), Some(Operation::Dates));
    let read_back_first = |queued: &mut QueueRow| (elsewhere(queued), queued.verify_first = true).1;
    assert_eq!(call(&called(read_back_first, &alive)), Some(Operation::ReadBack));
    let uncertain = |queued: &mut QueueRow| (queued.verify_first, queued.waited) = (true, true);
    assert_eq!(call(&called(uncertain, &alive)), Some(Operation::ReadBack), "read back after the last change");
    let both = |queued: &mut QueueRow| (elsewhere(queued), uncertain(queued)).1;
    assert_eq!(call(&called(both, &alive)), Some(Operation::Dates), "changes come before the read-back");
    let foreign = |queued: &mut QueueRow| (elsewhere(queued), change(queued).verified = false).1;
    assert_eq!(call(&called(foreign, &alive)), Some(Operation::ReadBack), "it may not be ours");
    let unknown = |queued: &mut QueueRow| change(queued).snapshot = Snapshot::default();
    assert_eq!(call(&called(unknown, &alive)), Some(Operation::ReadBack), "taken over from the table");
    for over in [row("cancelled", "paid"), row("pending", "refunded"), row("cancelled", "refunded")] {
        assert_eq!(call(&called(elsewhere, &over)), Some(Operation::Status));
    }
    assert_eq!(called(|_| {}, &row("confirmed", "refunded")), Plan::Done, "a refund alone does not cancel");
    assert_eq!(called(|_| {}, &row("pending", "processing")), Plan::Done, "a status never goes down");
}

#[test]
fn a_cancelled_booking_with_an_invalid_row_is_cancelled() {
    let mut broken = row("cancelled", "paid");
    broken.values[Field::CheckIn as usize] = None;
    assert_eq!(operation(&called(|_| {}, &broken)), Some(Operation::Status));
    let mut alive = row("confirmed", "paid");
    alive.values[Field::CheckIn as usize] = None;
    assert!(matches!(called(|_| {}, &alive), Plan::Fail(_)));
}

#[test]
fn nothing_is_changed_within_the_propagation_delay() {
    let changed = DateTime::UNIX_EPOCH - chrono::TimeDelta::seconds(30);
    let rules = Rules { propagation_delay: Duration::from_secs(90), ..rules() };
    let mut queued = remote("r1");
    change(&mut queued).changed_at = Some(changed);
    let until = DateTime::UNIX_EPOCH + chrono::TimeDelta::seconds(60);
    assert_eq!(plan(&row("cancelled", "paid"), &queued, &rules), Plan::Wait(until));
    assert_eq!(plan(&row("confirmed", "paid"), &queued, &rules), Plan::Done, "done, since there is nothing to do");
    change(&mut queued).changed_at = Some(changed - chrono::TimeDelta::seconds(60));
    assert_eq!(operation(&plan(&row("cancelled", "paid"), &queued, &rules)), Some(Operation::Status));
}

#[test]
fn only_a_paid_booking_that_we_ended_is_rebooked() {
    let over = |ended| {
        move |queued: &mut QueueRow| {
            let remote = change(queued);
            (remote.snapshot.status, remote.ended, remote.code) =
                (Some("canceled".to_owned()), ended, "BK-1-2".to_owned());
        }
    };
    let alive = row("confirmed", "paid");
    let Plan::Call(Operation::Create, again) = called(over(true), &alive) else { panic!("not created") };
    let own = map(&alive, &rules()).unwrap().code;
    assert_eq!(again.code, format!("{own}-2"), "a rebooking needs a new code");
    assert!(matches!(called(over(false), &alive), Plan::Fail(_)), "it was cancelled manually in Guestly");
    assert_eq!(called(over(true), &row("confirmed", "failed")), Plan::Done);
    assert_eq!(called(over(true), &row("cancelled", "paid")), Plan::Done);
    let unsettled = |queued: &mut QueueRow| {
        over(true)(queued);
        (queued.verify_first, queued.waited) = (true, true);
    };
    assert_eq!(
        operation(&called(unsettled, &alive)),
        Some(Operation::ReadBack),
        "the cancellation is not confirmed yet"
    );
    let creating = |queued: &mut QueueRow| (unsettled(queued), queued.unconfirmed_creates = 1).1;
    assert_eq!(operation(&called(creating, &alive)), Some(Operation::LookUp), "its create is uncertain");
    assert_eq!(
        operation(&called(creating, &row("cancelled", "paid"))),
        Some(Operation::LookUp),
        "found, then cancelled"
    );
}

#[test]
fn a_deleted_booking_is_cancelled_only_on_request() {
    let plan = |remote: &RemoteReservation, rules: &Rules| {
        plan_deleted(
            remote,
            &QueueRow { booking_id: "7".to_owned(), ..QueueRow::default() },
            rules,
            DateTime::UNIX_EPOCH,
        )
    };
    let asked = Rules { cancel_on_delete: true, ..rules() };
    assert_eq!(plan(&existing("r1"), &rules()), Plan::Done);
    assert_eq!(operation(&plan(&existing("r1"), &asked)), Some(Operation::Status));
    assert_eq!(plan(&existing("test-1"), &asked), Plan::Done);
    let foreign = RemoteReservation { verified: false, ..existing("r1") };
    assert_eq!(operation(&plan(&foreign, &asked)), Some(Operation::ReadBack));
}

#[test]
fn past_stays_of_the_table_are_not_read() {
    let attached = RemoteReservation { verified: false, snapshot: Snapshot::default(), ..existing("r1") };
    let queued = QueueRow { remote: Some(attached), ..QueueRow::default() };
    let at = |day: u32, queued: &QueueRow| {
        let now = NaiveDate::from_ymd_opt(2027, 5, day).unwrap().and_hms_opt(12, 0, 0).unwrap().and_utc();
        super::plan(&row("confirmed", "paid"), queued, &rules(), now)
    };
    // The stay ends on the 14th.
    assert_eq!(operation(&at(15, &queued)), Some(Operation::ReadBack));
    assert_eq!(at(16, &queued), Plan::Done);
    assert_eq!(operation(&at(16, &QueueRow { force: true, ..queued })), Some(Operation::ReadBack));
}
