use super::*;

/// The row of a valid booking with some fields changed. Also used by other modules' tests.
pub(crate) fn row(changes: &[(Field, Option<&str>)]) -> Row {
    let mut values: Vec<Option<String>> = [
        "BK-0000123",
        "flat-1",
        "6f1d",
        "Ada",
        "Example",
        "ada@example.org",
        "+49 30 5550100",
        "2027-05-10",
        "2027-05-14",
        "2",
        "1",
        "0",
        "0",
        "640.00",
        "confirmed",
        "completed",
    ]
    .iter()
    .map(|text| Some((*text).to_owned()))
    .collect();
    values.resize(Field::ALL.len(), None);
    for (field, value) in changes {
        values[*field as usize] = value.map(str::to_owned);
    }
    Row { booking_id: "7".to_owned(), values, ..Row::default() }
}

fn sentence(changes: &[(Field, Option<&str>)]) -> String {
    let columns = [
        "b.booking_reference",
        "p",
        "b.property_id",
        "b.guest_first_name",
        "b.guest_last_name",
        "b.guest_email",
        "b.guest_phone",
        "b.check_in_date",
        "b.check_out_date",
        "b.adults",
        "b.children",
        "b.infants",
        "pets",
        "b.total",
        "b.status",
        "b.payment_status",
    ];
    let labels = Labels::from_expressions(&columns.map(|text| Some(text.to_owned())));
    Booking::parse(&row(changes), &labels).unwrap_err().to_string()
}

#[test]
fn a_whole_row_is_parsed() {
    let booking = Booking::parse(&row(&[]), &Labels::default()).unwrap();
    assert_eq!((booking.adults, booking.children, booking.total), (2, 1, 640.0));
    assert_eq!(booking.properties, ["flat-1", "6f1d"]);
    assert_eq!(booking.check_out.to_string(), "2027-05-14");
}

#[test]
fn each_fault_names_the_hosts_column() {
    let cases: [(Field, Option<&str>, &str); 10] = [
        (
            Field::CheckOut,
            Some("2027-05-10"),
            "invalid_booking: check_out_date 2027-05-10 is not after check_in_date 2027-05-10",
        ),
        (Field::CheckIn, None, "invalid_booking: check_in_date is empty"),
        (Field::CheckIn, Some("infinity"), "invalid_booking: check_in_date is not a date that Guestly knows"),
        (Field::Adults, Some("0"), "invalid_booking: adults is 0: a stay needs at least one adult"),
        (Field::Adults, Some("-1"), "invalid_booking: adults is -1, not a number of guests"),
        (Field::GuestEmail, Some("  "), "invalid_booking: guest_email is empty"),
        (Field::GuestEmail, Some("nobody"), "invalid_booking: guest_email is not an e-mail address"),
        (Field::Total, Some("NaN"), "invalid_booking: total is NaN, not an amount"),
        (Field::Total, Some("-1.00"), "invalid_booking: total is -1.00, not an amount"),
        (Field::GuestLastName, None, "invalid_booking: guest_last_name is empty"),
    ];
    for (field, value, expected) in cases {
        assert_eq!(sentence(&[(field, value)]), expected);
    }
}

#[test]
fn a_language_tag_becomes_its_two_letters() {
    let language = |tag| Booking::parse(&row(&[(Field::Language, tag)]), &Labels::default()).unwrap().language;
    for (tag, expected) in
        [("de", "de"), ("en-GB", "en"), ("pt_BR", "pt"), ("FR", "fr"), ("it_IT.UTF-8", "it"), (" es ", "es")]
    {
        assert_eq!(language(Some(tag)).as_deref(), Some(expected), "{tag}");
    }
}

#[test]
fn a_language_that_is_no_tag_is_not_sent() {
    let language = |tag| Booking::parse(&row(&[(Field::Language, tag)]), &Labels::default()).unwrap().language;
    for tag in [None, Some(""), Some("German"), Some("ger"), Some("d"), Some("日本"), Some("1x"), Some("-de")] {
        assert_eq!(language(tag), None, "{tag:?}");
    }
}

#[test]
fn missing_counts_are_zero() {
    let booking = Booking::parse(&row(&[(Field::Children, None), (Field::Infants, None)]), &Labels::default()).unwrap();
    assert_eq!((booking.children, booking.infants), (0, 0));
}

#[test]
fn paid_statuses_ignore_case() {
    let paid = ["paid".to_owned(), "completed".to_owned()];
    assert!(row(&[]).is_paid(&paid));
    assert!(row(&[(Field::PaymentStatus, Some("PAID"))]).is_paid(&paid));
    assert!(!row(&[(Field::PaymentStatus, Some("processing"))]).is_paid(&paid));
    assert!(!row(&[(Field::PaymentStatus, None)]).is_paid(&paid));
}
