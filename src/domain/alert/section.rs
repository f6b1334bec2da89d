//! The sections of a mail: a booking, an outage. Part of `domain::alert`; pure, any thread.

use chrono::{DateTime, NaiveDate, Utc};

use super::kind::AlertKind;
use super::page::Page;
use super::types::{Alert, AlertBooking, Outage};
use crate::domain::error::ErrorClass;
use crate::domain::redact::clean;

/// All fields of one booking.
pub fn booking(page: &mut Page, alert: &Alert, booking: &AlertBooking, now: DateTime<Utc>) {
    let urgent = if booking.is_urgent(now) { "URGENT " } else { "" };
    let problem = problem(alert, booking);
    let class = booking.class.map(|class| format!(" ({})", class.as_str())).unwrap_or_default();
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let key = if booking.name() == booking.booking_id { String::new() } else { booking.booking_id.clone() };
    let fields = [
        ("Guest", text(&booking.guest)),
        ("Phone", text(&booking.phone)),
        ("Arrival", day(booking.check_in)),
        ("Departure", day(booking.check_out)),
        ("Nights", booking.nights().map(|nights| nights.to_string()).unwrap_or_default()),
        ("Flat", text(&booking.flat)),
        ("Guests", guests(booking)),
        ("Amount", text(&booking.amount)),
        ("Payment", text(&booking.payment_reference)),
        ("Problem", format!("{problem}{class}")),
        ("Conflict", text(&booking.conflict)),
        ("Since", booking.since.map(moment).unwrap_or_default()),
        ("Attempts", booking.attempts.to_string()),
        ("Booking id", key),
        ("What to do", advice(alert.kind, booking).to_owned()),
    ];
    page.fields(&format!("{urgent}{}", booking.name()), &fields);
    page.command(&suggested_statement(alert.kind, booking));
}

/// The problem; for a failed booking its current one.
pub fn problem<'a>(alert: &'a Alert, booking: &'a AlertBooking) -> &'a str {
    let now = booking.problem.as_deref().filter(|text| alert.kind.is_failure() && !text.is_empty());
    now.unwrap_or(&alert.sentence)
}

/// One line about a booking, for long lists.
pub fn line(booking: &AlertBooking) -> Vec<String> {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let days = match (booking.check_in, booking.check_out) {
        (Some(first), Some(last)) => format!("{} to {}", first.format("%-d %b %Y"), last.format("%-d %b %Y")),
        (first, _) => day(first),
    };
    vec![
        days,
        booking.name().to_owned(),
        text(&booking.guest),
        text(&booking.phone),
        text(&booking.flat),
        guests(booking),
    ]
}

/// The header of such a list.
pub const LINE: [&str; 6] = ["Stay", "Booking", "Guest", "Phone", "Flat", "Guests"];

/// The times of an outage.
pub fn outage(page: &mut Page, outage: &Outage) {
    let count = bookings(outage.waiting);
    let fields = match outage.until {
        None => vec![("Since", moment(outage.since)), ("Waiting", count)],
        Some(until) => vec![("Since", moment(outage.since)), ("Until", moment(until)), ("Not placed", count)],
    };
    page.fields("Guestly", &fields);
}

/// `1 booking`, `12 bookings`.
pub fn bookings(count: u64) -> String {
    format!("{count} booking{}", if count == 1 { "" } else { "s" })
}

/// A moment, to the minute.
pub fn moment(moment: DateTime<Utc>) -> String {
    moment.format("%-d %b %Y %H:%M UTC").to_string()
}

fn day(day: Option<NaiveDate>) -> String {
    day.map(|day| day.format("%A, %-d %B %Y").to_string()).unwrap_or_default()
}

fn guests(booking: &AlertBooking) -> String {
    let Some(adults) = booking.adults else { return String::new() };
    let some = |count: u32, one: &str, more: &str| match count {
        0 => None,
        1 => Some(format!("1 {one}")),
        _ => Some(format!("{count} {more}")),
    };
    let parts = [
        some(adults, "adult", "adults"),
        some(booking.children, "child", "children"),
        some(booking.infants, "infant", "infants"),
    ];
    let all = adults.saturating_add(booking.children);
    format!("{all} ({})", parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
}

/// The recommended action. Manual entry is recommended only if Guestly certainly does not have the booking.
const fn advice(kind: AlertKind, booking: &AlertBooking) -> &'static str {
    match kind {
        AlertKind::TwoReservations => {
            return "Open both reservations in Guestly and cancel the duplicate.";
        }
        AlertKind::Deleted => {
            return "Look for it in Guestly under this reference, and cancel the reservation if the guest is not coming.";
        }
        AlertKind::PriceDiffers => {
            return "The reservation stands. Open it in Guestly and correct its price, or the listing's rate plan and taxes.";
        }
        _ if booking.gone => return "The booking has been deleted: nothing more is sent for it.",
        _ => {}
    }
    let about_guestly = matches!(
        booking.class,
        None | Some(ErrorClass::Refused | ErrorClass::UnknownOutcome | ErrorClass::Throttled | ErrorClass::Unavailable)
    );
    if booking.placed && about_guestly {
        return "Guestly has this reservation: do not create it again. Compare it with the booking.";
    }
    match booking.class {
        Some(ErrorClass::InvalidBooking) => "Correct the booking; it is then sent automatically.",
        Some(ErrorClass::UnknownListing) => "Check the flat's row in guestly.listings, then send the booking again.",
        Some(ErrorClass::UnknownStatus) => "Add the status to guestly.status_map, then send the booking again.",
        Some(ErrorClass::DatesTaken) => {
            "Look at the calendar in Guestly. Free the nights and send the booking again, or call the guest."
        }
        Some(ErrorClass::Refused) => "Correct what Guestly objects to, then send the booking again.",
        Some(ErrorClass::Credentials) => "Correct the credentials; the booking is then sent automatically.",
        Some(ErrorClass::Internal) => {
            "Fix the cause (for example your trigger), then send it again. Guestly may have it already: do not create it again."
        }
        Some(ErrorClass::UnknownOutcome) => {
            "Guestly may have this booking: do not create it again. Search Guestly for this reference."
        }
        Some(ErrorClass::Throttled | ErrorClass::Unavailable) | None if booking.uncertain => {
            "Guestly may have this booking: do not create it again. Search Guestly for this reference."
        }
        Some(ErrorClass::Throttled | ErrorClass::Unavailable) | None => {
            "Create the reservation manually in Guestly if it is needed now, or send the booking again."
        }
    }
}

/// The statement that sends the booking again or, if that does not help, shows its history. If the key cannot be typed on
/// one line, the statement that lists it.
fn suggested_statement(kind: AlertKind, booking: &AlertBooking) -> String {
    let key = &booking.booking_id;
    if clean(key, usize::MAX) != *key {
        return "To find it, type: SELECT * FROM guestly.queue WHERE state = 'failed';".to_owned();
    }
    let key = key.replace('\'', "''");
    match kind {
        AlertKind::Deleted | AlertKind::TwoReservations | AlertKind::PriceDiffers => {
            format!("To see what happened, type: SELECT * FROM guestly_timeline('{key}');")
        }
        _ if booking.gone => format!("To see what happened, type: SELECT * FROM guestly_timeline('{key}');"),
        _ => format!("To send it again, type: SELECT guestly_sync('{key}');"),
    }
}

#[cfg(test)]
#[path = "section_tests.rs"]
mod tests;
