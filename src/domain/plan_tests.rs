use std::collections::HashMap;

use super::*;
use crate::domain::booking::Field;

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
        ..Rules::default()
    }
}

fn row(status: &str, payment: &str) -> Row {
    let mut values: Vec<Option<String>> = vec![None; Field::ALL.len()];
    let given = [
        (Field::Property, "flat-1"),
        (Field::GuestFirstName, "Ada"),
        (Field::GuestLastName, "Example"),
        (Field::GuestEmail, "ada@example.org"),
        (Field::CheckIn, "2027-05-10"),
        (Field::CheckOut, "2027-05-14"),
        (Field::Adults, "2"),
        (Field::Total, "640.00"),
        (Field::Status, status),
        (Field::PaymentStatus, payment),
    ];
    for (field, value) in given {
        values[field as usize] = Some(value.to_owned());
    }
    Row { booking_id: "7".to_owned(), values }
}

fn known(id: &str) -> Queued {
    Queued { known: Some(id.to_owned()), ..Queued::default() }
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
    let fresh = Queued::default();
    let doubt = Queued { in_doubt: true, ..Queued::default() };
    let forced = Queued { force: true, ..Queued::default() };
    assert_eq!(operation(&plan(&row("confirmed", "paid"), &fresh, &rules)), Some(Operation::Create));
    assert_eq!(operation(&plan(&row("confirmed", "completed"), &doubt, &rules)), Some(Operation::LookUp));
    assert_eq!(operation(&plan(&row("confirmed", "pending"), &forced, &rules)), Some(Operation::Create));
    assert_eq!(operation(&plan(&row("cancelled", "refunded"), &doubt, &rules)), Some(Operation::LookUp));
    assert_eq!(operation(&plan(&row("confirmed", "refunded"), &fresh, &rules)), Some(Operation::Create));
    assert_eq!(plan(&row("pending", "refunded"), &fresh, &rules), Plan::Withdraw("refunded before it was sent"));
    assert_eq!(operation(&plan(&row("pending", "refunded"), &forced, &rules)), Some(Operation::Create));
    assert_eq!(plan(&row("cancelled", "paid"), &fresh, &rules), Plan::Withdraw("cancelled before it was sent"));
    assert_eq!(plan(&row("confirmed", "paid"), &known("r1"), &rules), Plan::Done);
    assert!(matches!(plan(&row("odd", "paid"), &fresh, &rules), Plan::Fail(_)));
}

#[test]
fn a_late_notice_of_the_payment_provider_does_not_take_a_paid_booking_out_of_the_queue() {
    for late in ["processing", "failed", "pending"] {
        assert_eq!(
            operation(&plan(&row("confirmed", late), &Queued::default(), &rules())),
            Some(Operation::Create),
            "{late}"
        );
    }
}

#[test]
fn a_made_up_reservation_counts_only_in_test_mode() {
    let paid = row("confirmed", "paid");
    assert_eq!(operation(&plan(&paid, &known("test-1"), &rules())), Some(Operation::Create));
    let test_mode = Rules { test_mode: true, ..rules() };
    assert_eq!(plan(&paid, &known("test-1"), &test_mode), Plan::Done);
}
