//! `guestly.alerts`: raising alerts in the transaction of what caused them, and what a mail needs to know. Main thread only,
//! inside a transaction.

use std::cell::Cell;
use std::collections::HashMap;

use chrono::{DateTime, NaiveDate, Utc};
use pgrx::datum::DatumWithOid;

use super::bookings::Bookings;
use super::queue::{seconds, time};
use super::session::Result;
use super::statement::{self, Tuple};
use crate::domain::alert::{
    Alert, AlertBooking, AlertKind, Batch, Mailed, Outage, Pending, cause, last_arrival_of_list,
};
use crate::domain::booking::{Field, Row};
use crate::domain::error::ErrorClass;

thread_local! {
    // Outcomes raise alerts deep inside their transaction; the worker asks after it whether a mail may be due.
    static RAISED: Cell<bool> = const { Cell::new(false) };
}

/// Something that the owner should hear about.
#[derive(Clone, Debug, PartialEq)]
pub struct Raised {
    /// What kind.
    pub kind: AlertKind,
    /// The booking, for kinds that are about one.
    pub booking_id: Option<String>,
    /// The host's reference, for programs that listen.
    pub reference: Option<String>,
    /// Day of arrival; none takes the queue's.
    pub arrival: Option<NaiveDate>,
    /// The class of the problem.
    pub class: Option<ErrorClass>,
    /// Plain words, without personal data.
    pub sentence: String,
    /// Since when, for outages.
    pub since: Option<DateTime<Utc>>,
    /// How many wait, for outages.
    pub waiting: Option<i64>,
}

impl Raised {
    /// About the lane as a whole.
    pub fn about_lane(kind: AlertKind, sentence: impl Into<String>) -> Self {
        Self {
            kind,
            booking_id: None,
            reference: None,
            arrival: None,
            class: None,
            sentence: sentence.into(),
            since: None,
            waiting: None,
        }
    }
}

/// A row that waits, with what only its mail needs.
pub struct Waiting {
    /// What the policy looks at.
    pub pending: Pending,
    sentence: String,
    since: Option<DateTime<Utc>>,
    waiting: Option<i64>,
}

/// Writes alerts and notifies listening programs. The same cause is not raised twice within a day.
pub fn raise(alerts: &[Raised]) -> Result<()> {
    if alerts.is_empty() {
        return Ok(());
    }
    let args: [DatumWithOid; 9] = [
        column(alerts, |alert| alert.kind.as_str()).into(),
        column(alerts, |alert| alert.booking_id.clone()).into(),
        column(alerts, |alert| alert.arrival.map(|day| day.to_string())).into(),
        column(alerts, |alert| cause(alert.class, &alert.sentence)).into(),
        column(alerts, |alert| alert.sentence.clone()).into(),
        column(alerts, |alert| alert.since.map(seconds)).into(),
        column(alerts, |alert| alert.waiting).into(),
        column(alerts, |alert| alert.class.map(ErrorClass::as_str)).into(),
        column(alerts, |alert| alert.reference.clone()).into(),
    ];
    RAISED.set(true);
    statement::run(include_str!("../../sql/queries/raise.sql"), &args)
}

/// True once after alerts were raised in this process.
pub fn take_raised() -> bool {
    RAISED.take()
}

fn column<T>(alerts: &[Raised], value: impl Fn(&Raised) -> T) -> Vec<T> {
    alerts.iter().map(value).collect()
}

/// Alerts for bookings that are unsent for too long.
pub fn stale(after: std::time::Duration) -> Result<Vec<Raised>> {
    let words = |state: &str| match state {
        "ready" => "it is still in line",
        "unknown" => "Guestly does not say whether it holds it",
        "sending" => "its call has not come back",
        _ => "it is being tried again",
    };
    statement::rows(include_str!("../../sql/queries/stale.sql"), &[after.as_secs_f64().into()], |row| {
        let class = row.get::<String>(3)?.and_then(|name| ErrorClass::parse(&name));
        let state = row.get::<String>(2)?.unwrap_or_default();
        let last = row.get::<String>(4)?.map(|error| format!("; the last problem: {error}")).unwrap_or_default();
        let sentence = format!("paid, and not in Guestly yet: {}{last}", words(&state));
        Ok(Raised {
            booking_id: row.get(1)?,
            class,
            since: row.get::<f64>(5)?.map(time),
            ..Raised::about_lane(AlertKind::Stale, sentence)
        })
    })
}

/// Since when Guestly has been out of reach, as far as it was announced and its end was not.
pub fn announced_outage() -> Result<Option<DateTime<Utc>>> {
    let found = statement::row(include_str!("../../sql/queries/outage.sql"), &[], |row| Ok(row.get::<f64>(1)?))?;
    Ok(found.flatten().map(time))
}

/// How many bookings wait.
pub fn waiting() -> Result<i64> {
    let count = statement::row(include_str!("../../sql/queries/waiting_count.sql"), &[], |row| Ok(row.get::<i64>(1)?))?;
    Ok(count.flatten().unwrap_or_default())
}

/// Every alert that waits; what got through meanwhile needs no mail.
pub fn pending() -> Result<Vec<Waiting>> {
    statement::run(include_str!("../../sql/queries/alerts_placed.sql"), &[])?;
    statement::rows(include_str!("../../sql/queries/alerts_pending.sql"), &[], |row| {
        Ok(Waiting {
            pending: Pending {
                id: row.get(1)?.unwrap_or_default(),
                kind: kind(row, 2)?,
                booking_id: row.get(3)?,
                cause: row.get(4)?.unwrap_or_default(),
                created_at: time(row.get(5)?.unwrap_or_default()),
                arrival: row.get::<String>(6)?.and_then(|day| day.parse().ok()),
                mail_key: row.get(7)?,
            },
            sentence: row.get(8)?.unwrap_or_default(),
            since: row.get::<f64>(9)?.map(time),
            waiting: row.get(10)?,
        })
    })
}

/// What was mailed within a day.
pub fn mailed() -> Result<Vec<Mailed>> {
    statement::rows(include_str!("../../sql/queries/alerts_mailed.sql"), &[], |row| {
        Ok(Mailed {
            kind: kind(row, 1)?,
            booking_id: row.get(2)?,
            cause: row.get(3)?.unwrap_or_default(),
            at: time(row.get(4)?.unwrap_or_default()),
        })
    })
}

fn kind(row: &Tuple, column: usize) -> Result<AlertKind> {
    // The table's CHECK knows the same names.
    Ok(row.get::<String>(column)?.and_then(|name| AlertKind::parse(&name)).unwrap_or(AlertKind::BookingFailed))
}

/// A mail with these alerts leaves under this key; or certainly was not taken, and why.
pub fn set_key(ids: &[i64], key: Option<&str>, answer: Option<&str>) -> Result<()> {
    statement::run(include_str!("../../sql/queries/alerts_key.sql"), &[ids.to_vec().into(), key.into(), answer.into()])
}

/// Alerts that are done with: `sent` or `repeated`.
pub fn settle(ids: &[i64], state: &str, answer: Option<&str>) -> Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    statement::run(
        include_str!("../../sql/queries/alerts_settle.sql"),
        &[ids.to_vec().into(), state.into(), answer.into()],
    )
}

/// The alerts of one mail, with all that it says.
pub fn compose(
    waiting: &[Waiting],
    batch: &Batch,
    bookings: Option<&Bookings>,
    now: DateTime<Utc>,
) -> Result<Vec<Alert>> {
    let told: Vec<&Waiting> = waiting.iter().filter(|row| batch.ids.contains(&row.pending.id)).collect();
    let ids: Vec<String> = told.iter().filter_map(|row| row.pending.booking_id.clone()).collect();
    let details = details(bookings, &ids)?;
    let by_hand = |kind| matches!(kind, AlertKind::Outage | AlertKind::Credentials | AlertKind::TokenCap);
    let arrivals = if told.iter().any(|row| by_hand(row.pending.kind)) { arrivals(bookings, now)? } else { Vec::new() };
    let alert = |row: &&Waiting| {
        let pending = &row.pending;
        let ended = pending.kind == AlertKind::Recovered;
        Alert {
            id: pending.id,
            kind: pending.kind,
            created_at: pending.created_at,
            booking: pending.booking_id.as_ref().and_then(|id| details.get(id)).cloned(),
            sentence: row.sentence.clone(),
            outage: row.since.filter(|_| !pending.kind.is_about_a_booking()).map(|since| Outage {
                since,
                until: ended.then_some(pending.created_at),
                waiting: row.waiting.and_then(|count| u64::try_from(count).ok()).unwrap_or_default(),
            }),
            arrivals: if by_hand(pending.kind) { arrivals.clone() } else { Vec::new() },
        }
    };
    Ok(told.iter().map(alert).collect())
}

fn arrivals(bookings: Option<&Bookings>, now: DateTime<Utc>) -> Result<Vec<AlertBooking>> {
    let last = last_arrival_of_list(now).to_string();
    let ids = statement::rows(include_str!("../../sql/queries/arrivals.sql"), &[last.into()], |row| {
        Ok(row.get::<String>(1)?.unwrap_or_default())
    })?;
    let mut found: Vec<AlertBooking> = details(bookings, &ids)?.into_values().collect();
    found.sort_by_key(|booking| (booking.check_in, booking.booking_id.clone()));
    Ok(found)
}

/// What mails say of bookings, by id; read as the owner of their table, one bad row leaves the others readable.
fn details(bookings: Option<&Bookings>, ids: &[String]) -> Result<HashMap<String, AlertBooking>> {
    let Some(bookings) = bookings.filter(|_| !ids.is_empty()) else { return Ok(HashMap::new()) };
    let rows = bookings.read_each(ids).into_iter().filter_map(|(id, row)| Some((id, describe(&row.ok()??))));
    let mut found: HashMap<String, AlertBooking> = rows.collect();
    statement::rows(include_str!("../../sql/queries/waiting.sql"), &[ids.to_vec().into()], |row| {
        let booking = row.get::<String>(1)?.and_then(|id| found.get_mut(&id));
        if let Some(booking) = booking {
            booking.attempts = row.get::<i32>(2)?.and_then(|tries| u32::try_from(tries).ok()).unwrap_or_default();
            booking.since = row.get::<f64>(3)?.map(time);
            booking.class = row.get::<String>(4)?.and_then(|name| ErrorClass::parse(&name));
            booking.problem = row.get(5)?;
        }
        Ok(())
    })?;
    Ok(found)
}

fn describe(row: &Row) -> AlertBooking {
    let text = |field| row.get(field).map(str::to_owned);
    let count = |field| row.get(field).and_then(|text| text.parse::<u32>().ok());
    let day = |field| row.get(field).and_then(|text| text.get(..10)).and_then(|day| day.parse::<NaiveDate>().ok());
    let names: Vec<&str> =
        [Field::GuestFirstName, Field::GuestLastName].iter().filter_map(|field| row.get(*field)).collect();
    AlertBooking {
        booking_id: row.booking_id.clone(),
        reference: text(Field::Reference),
        guest: (!names.is_empty()).then(|| names.join(" ")),
        phone: text(Field::GuestPhone),
        check_in: day(Field::CheckIn),
        check_out: day(Field::CheckOut),
        flat: text(Field::Property).or_else(|| text(Field::PropertyId)),
        adults: count(Field::Adults),
        children: count(Field::Children).unwrap_or_default(),
        infants: count(Field::Infants).unwrap_or_default(),
        amount: text(Field::Total),
        payment_reference: text(Field::PaymentReference),
        ..AlertBooking::default()
    }
}
