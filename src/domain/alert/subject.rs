//! The subject of a mail. A phone shows its first forty characters. Part of `domain::alert`; pure, any thread.

use chrono::{DateTime, Datelike, Utc};

use super::kind::AlertKind;
use super::section::{bookings, moment};
use super::types::{Alert, AlertBooking};
use crate::domain::redact::clean;

/// Longest subject, and longest reference or site name in it, in characters.
const SUBJECT: usize = 160;
const NAME: usize = 40;

/// `[Guestly] 1 paid booking could not be placed: BK-0000123, arriving 10 May`. The alerts come in the order of the mail;
/// the first section gives the sentence.
pub fn subject(alerts: &[&Alert], now: DateTime<Utc>, site: Option<&str>) -> String {
    let site = site.map(|site| clean(site, NAME)).filter(|site| !site.is_empty());
    let tag = site.map_or_else(|| "[Guestly]".to_owned(), |site| format!("[Guestly {site}]"));
    let urgent = alerts.iter().any(|alert| alert.booking.as_ref().is_some_and(|booking| booking.is_urgent(now)));
    let urgent = if urgent { "URGENT: " } else { "" };
    let Some(first) = alerts.first() else { return tag };
    let same: Vec<&Alert> = alerts.iter().copied().filter(|alert| section(alert.kind) == section(first.kind)).collect();
    let others = alerts.len() - same.len();
    let others = match others {
        0 => String::new(),
        1 => ", and 1 more alert".to_owned(),
        count => format!(", and {count} more alerts"),
    };
    clean(&format!("{tag} {urgent}{}{others}", sentence(first, &same, now)), SUBJECT)
}

/// The kind that stands for the section of the mail: some kinds share one.
pub fn section(kind: AlertKind) -> AlertKind {
    if kind.is_failure() { AlertKind::BookingFailed } else { kind }
}

fn sentence(first: &Alert, same: &[&Alert], now: DateTime<Utc>) -> String {
    let count = same.len() as u64;
    match first.kind {
        AlertKind::BookingFailed | AlertKind::DatesTaken => {
            format!("{}: {}", failed(same), which(same, now))
        }
        AlertKind::Stale => format!("{} not placed yet: {}", paid(count), which(same, now)),
        AlertKind::Deleted => {
            format!("{} deleted that Guestly has or may have: {}", bookings(count), which(same, now))
        }
        AlertKind::PriceDiffers => {
            format!("Guestly's price is not what was paid for {}: {}", bookings(count), which(same, now))
        }
        AlertKind::TwoReservations => format!("Two reservations for {}: {}", bookings(count), which(same, now)),
        AlertKind::Outage => match first.outage {
            Some(outage) => {
                let since = moment(outage.since);
                format!("{}, {} waiting, since {since}", first.outage_heading(), bookings(outage.waiting))
            }
            None => first.outage_heading().to_owned(),
        },
        AlertKind::Recovered => match first.outage.filter(|outage| outage.waiting > 0) {
            Some(outage) => format!("Guestly is back, {} could not be placed", bookings(outage.waiting)),
            None => "Guestly is back, all bookings are placed".to_owned(),
        },
        AlertKind::Credentials => "Guestly does not accept the credentials, bookings wait".to_owned(),
        AlertKind::TokenCap => "Guestly gives no more tokens today, bookings wait".to_owned(),
    }
}

/// The failures: of creates, of changes, or of both.
fn failed(same: &[&Alert]) -> String {
    let count = same.len() as u64;
    match same.iter().filter(|alert| alert.is_about_a_change()).count() {
        0 => format!("{} could not be placed", paid(count)),
        changes if changes == same.len() => format!("{} could not be changed", bookings(count)),
        _ => format!("{} could not be placed or changed", bookings(count)),
    }
}

fn paid(count: u64) -> String {
    format!("{count} paid booking{}", if count == 1 { "" } else { "s" })
}

/// `BK-1, arriving 10 May`, or `BK-1, BK-2 and 3 more, first arrival 10 May`.
fn which(alerts: &[&Alert], now: DateTime<Utc>) -> String {
    let known: Vec<&AlertBooking> = alerts.iter().filter_map(|alert| alert.booking.as_ref()).collect();
    if known.is_empty() {
        return "see the mail".to_owned();
    }
    let names: Vec<String> = known.iter().take(2).map(|booking| clean(booking.name(), NAME)).collect();
    let arrival = known.iter().filter_map(|booking| booking.check_in).min();
    let day = arrival.map(|day| match day.year() == now.year() {
        true => day.format("%-d %b").to_string(),
        false => day.format("%-d %b %Y").to_string(),
    });
    let more = match alerts.len().saturating_sub(names.len()) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    match (day, alerts.len()) {
        (None, _) => format!("{}{more}", names.join(", ")),
        (Some(day), 1) => format!("{}, arriving {day}", names.join(", ")),
        (Some(day), _) => format!("{}{more}, first arrival {day}", names.join(", ")),
    }
}
