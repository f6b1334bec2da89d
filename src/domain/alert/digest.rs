//! The mail about a batch of alerts. Part of `domain::alert`; pure, any thread.
//!
//! Bookings come first, by arrival. The first fifty are shown in full, the others with one line each, so that a mail about
//! hundreds of bookings still opens on a phone.

use chrono::{DateTime, Utc};

use super::kind::AlertKind;
use super::page::Page;
use super::section::{LINE, booking, line, moment, outage, problem};
use super::subject::{section, subject};
use super::types::{Alert, AlertBooking, Mail, UNREACHABLE};
use crate::domain::redact::clean;

/// Bookings shown in full.
const IN_FULL: usize = 50;

/// The mail about these alerts; `None` if there are none. `site` is the name of this server, if it has one.
#[must_use]
pub fn digest(alerts: &[Alert], now: DateTime<Utc>, site: Option<&str>) -> Option<Mail> {
    let mut sorted: Vec<&Alert> = alerts.iter().collect();
    sorted.sort_by_key(|alert| rank(alert));
    let first = sorted.first()?;
    let subject = subject(&sorted, now, site);
    let mut page = Page::default();
    let mut full = IN_FULL;
    for kind in AlertKind::ALL.into_iter().filter(|kind| section(*kind) == *kind) {
        let same: Vec<&Alert> = sorted.iter().copied().filter(|alert| section(alert.kind) == kind).collect();
        if same.is_empty() {
            continue;
        }
        page.heading(heading(kind, &same));
        match kind.is_about_a_booking() {
            true => full = about_bookings(&mut page, &same, full, now),
            false => same.iter().for_each(|alert| about_guestly(&mut page, alert)),
        }
    }
    if first.kind != AlertKind::Recovered {
        page.command("To see the state of everything, type: SELECT * FROM guestly_doctor();");
    }
    page.paragraph(&format!("guestly_sync{}, {}", of(site), moment(now)));
    let (text, html) = page.finish(&subject);
    Some(Mail { subject, text, html })
}

/// The mail of `guestly_test_alert()`.
#[must_use]
pub fn test_mail(now: DateTime<Utc>, site: Option<&str>) -> Mail {
    let subject = clean(&format!("[Guestly] Test: alerts{} arrive", of(site)), 160);
    let mut page = Page::default();
    page.heading("Alerts arrive");
    page.paragraph("This is the test that guestly_test_alert() sends. Nothing is wrong.");
    page.paragraph(
        "When a paid booking cannot be placed in Guestly, a mail from this sender says which, why and what to do.",
    );
    page.paragraph(&format!("guestly_sync{}, {}", of(site), moment(now)));
    let (text, html) = page.finish(&subject);
    Mail { subject, text, html }
}

fn of(site: Option<&str>) -> String {
    site.map(|site| clean(site, 40))
        .filter(|site| !site.is_empty())
        .map_or_else(String::new, |site| format!(" of {site}"))
}

/// Sections in the order of the kinds, each sorted by arrival, so that urgent bookings are at the top.
fn rank(alert: &Alert) -> (Option<usize>, bool, Option<chrono::NaiveDate>, i64) {
    let section = AlertKind::ALL.iter().position(|kind| *kind == section(alert.kind));
    let arrival = alert.booking.as_ref().and_then(|booking| booking.check_in);
    (section, arrival.is_none(), arrival, alert.id)
}

fn heading(kind: AlertKind, same: &[&Alert]) -> &'static str {
    let changes = same.iter().filter(|alert| alert.is_about_a_change()).count();
    match (kind, same.len()) {
        (AlertKind::BookingFailed | AlertKind::DatesTaken, count) => match (count, changes) {
            (1, 0) => "A paid booking could not be placed in Guestly",
            (_, 0) => "Paid bookings could not be placed in Guestly",
            (1, _) => "A booking could not be changed in Guestly",
            (count, changes) if count == changes => "Bookings could not be changed in Guestly",
            _ => "Bookings could not be placed or changed in Guestly",
        },
        (AlertKind::Stale, 1) => "A paid booking is not in Guestly yet",
        (AlertKind::Stale, _) => "Paid bookings are not in Guestly yet",
        (AlertKind::TwoReservations, _) => "Guestly has two reservations for one booking",
        (AlertKind::Deleted, 1) => "A booking was deleted that Guestly has or may have",
        (AlertKind::Deleted, _) => "Bookings were deleted that Guestly has or may have",
        (AlertKind::PriceDiffers, _) => "The price in Guestly is not what was paid",
        (AlertKind::Outage, _) => same.first().map_or(UNREACHABLE, |alert| alert.outage_heading()),
        (AlertKind::Recovered, _) => "Guestly is back",
        (AlertKind::Credentials, _) => "Guestly does not accept the credentials",
        (AlertKind::TokenCap, _) => "Guestly gives no more tokens today",
    }
}

/// Writes the bookings; returns how many more may be shown in full.
fn about_bookings(page: &mut Page, alerts: &[&Alert], full: usize, now: DateTime<Utc>) -> usize {
    let (shown, listed) = alerts.split_at(full.min(alerts.len()));
    for alert in shown {
        match &alert.booking {
            Some(details) => booking(page, alert, details, now),
            None => page.paragraph(&alert.sentence),
        }
    }
    if !listed.is_empty() {
        page.paragraph(&format!("And {} more, the same in short:", listed.len()));
        let header = [&LINE[..], &["Problem", "Booking id"]].concat();
        let rows: Vec<Vec<String>> = listed.iter().map(|alert| short_row(alert)).collect();
        page.table(&header, &rows);
        page.command("To send every failed booking again, type: SELECT guestly_retry_failed();");
    }
    full - shown.len()
}

fn short_row(alert: &Alert) -> Vec<String> {
    let Some(details) = &alert.booking else { return vec![alert.sentence.clone()] };
    let mut cells = line(details);
    cells.extend([clean(problem(alert, details), 120), details.booking_id.clone()]);
    cells
}

const fn what_to_do(kind: AlertKind) -> Option<&'static str> {
    match kind {
        AlertKind::Outage => Some("nothing. Bookings are queued and sent automatically once Guestly answers."),
        AlertKind::Credentials => Some(
            "correct the API key where it is kept, then type SELECT pg_reload_conf(); (if that is the server's environment, restart the server).",
        ),
        AlertKind::TokenCap => Some(
            "nothing. Bookings are sent automatically from the time above on. To see the token requests, type SELECT * FROM guestly.attempts WHERE operation = 'token';",
        ),
        _ => None,
    }
}

fn about_guestly(page: &mut Page, alert: &Alert) {
    page.paragraph(&alert.sentence);
    if let Some(advice) = what_to_do(alert.kind) {
        page.paragraph(&format!("What to do: {advice}"));
    }
    if let Some(details) = &alert.outage {
        outage(page, details);
    }
    if alert.kind == AlertKind::Recovered {
        return;
    }
    if alert.arrivals.is_empty() {
        page.paragraph("No guest arrives within the next 48 hours.");
        return;
    }
    page.paragraph("Arrivals in the next 48 hours, for manual work at the front desk:");
    let mut arrivals: Vec<&AlertBooking> = alert.arrivals.iter().collect();
    arrivals.sort_by(|a, b| (a.check_in, a.name()).cmp(&(b.check_in, b.name())));
    let placed = |booking: &AlertBooking| if booking.placed { "yes" } else { "no" }.to_owned();
    let row = |booking| [line(booking), vec![placed(booking)]].concat();
    let rows: Vec<Vec<String>> = arrivals.into_iter().map(row).collect();
    page.table(&[&LINE[..], &["In Guestly"]].concat(), &rows);
}

#[cfg(test)]
#[path = "digest_tests.rs"]
mod tests;
