//! `guestly.alerts`: raises alerts in the transaction of their cause, and reads and closes them for the mailer. Main thread only,
//! inside a transaction.

use std::cell::Cell;
use std::collections::HashMap;

use chrono::{DateTime, NaiveDate, Utc};
use pgrx::datum::DatumWithOid;

use crate::domain::alert::{AlertKind, MailedAlert, PendingAlert, cause};
use crate::domain::error::ErrorClass;
use crate::domain::field::Field;
use crate::pg::db::convert::{Named, column, seconds, time};
use crate::pg::db::session::{Result, subtransaction};
use crate::pg::db::statement;
use crate::pg::host::bookings::Bookings;
use crate::pg::store::PRUNE_STEP;

thread_local! {
    // Set when alerts are raised, deep inside a transaction; the mailer reads it after the commit.
    static RAISED: Cell<bool> = const { Cell::new(false) };
}

/// An alert to be raised.
#[derive(Clone, Debug, PartialEq)]
pub struct Raised {
    /// The kind.
    pub kind: AlertKind,
    /// The booking, for kinds that are about one.
    pub booking_id: Option<String>,
    /// The host's reference; `None` looks it up.
    pub reference: Option<String>,
    /// Day of arrival; `None` takes the queue row's.
    pub arrival: Option<NaiveDate>,
    /// The class of the problem.
    pub class: Option<ErrorClass>,
    /// The problem in plain words, without personal data.
    pub sentence: String,
    /// Since when, for outages.
    pub since: Option<DateTime<Utc>>,
    /// For an outage: the bookings that wait; at its end, those that could not be placed.
    pub waiting: Option<i64>,
}

impl Raised {
    /// An alert with only a kind and a sentence.
    pub fn new(kind: AlertKind, sentence: impl Into<String>) -> Self {
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

/// The state of an alert that is closed here. `waiting` is the default of the table, `placed` is set by a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlertState {
    /// Its mail was accepted.
    Sent,
    /// A later alert on the same topic was mailed instead.
    Superseded,
    /// The same was mailed within the last day.
    Repeated,
}

impl AlertState {
    /// Every state.
    #[cfg(test)]
    pub(super) const ALL: [Self; 3] = [Self::Sent, Self::Superseded, Self::Repeated];

    /// The value in the table.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Superseded => "superseded",
            Self::Repeated => "repeated",
        }
    }
}

/// A waiting alert.
pub struct WaitingAlert {
    /// The part that the selection for a mail needs.
    pub pending: PendingAlert,
    pub(crate) sentence: String,
    pub(crate) reference: Option<String>,
    pub(crate) since: Option<DateTime<Utc>>,
    pub(crate) waiting: Option<i64>,
}

/// Writes alerts and notifies listening programs. The same cause is not raised twice within a day.
pub fn raise(alerts: &[Raised]) -> Result<()> {
    if alerts.is_empty() {
        return Ok(());
    }
    let args: [DatumWithOid; 8] = [
        column(alerts, |alert| alert.kind.as_str()).into(),
        column(alerts, |alert| alert.booking_id.clone()).into(),
        column(alerts, |alert| alert.arrival.map(|day| day.to_string())).into(),
        column(alerts, |alert| cause(alert.class, &alert.sentence)).into(),
        column(alerts, |alert| alert.sentence.clone()).into(),
        column(alerts, |alert| alert.since.map(seconds)).into(),
        column(alerts, |alert| alert.waiting).into(),
        column(alerts, |alert| alert.reference.clone()).into(),
    ];
    let raised = statement::rows(include_str!("../../../sql/queries/alerts/raise.sql"), &args, |row| {
        Ok((row.get::<i64>(1)?.unwrap_or_default(), row.get::<String>(2)?))
    })?;
    if raised.is_empty() {
        return Ok(());
    }
    RAISED.set(true);
    let ids: Vec<i64> = raised.iter().map(|(id, _)| *id).collect();
    add_references(raised.into_iter().filter_map(|(id, missing)| Some((id, missing?))).collect())?;
    statement::run(include_str!("../../../sql/queries/alerts/notify_listeners.sql"), &[ids.into()])
}

/// Looks up missing references: (alert, booking). A booking that cannot be read gets none.
fn add_references(missing: Vec<(i64, String)>) -> Result<()> {
    let Some(bookings) = (if missing.is_empty() { None } else { source_table() }) else { return Ok(()) };
    let ids: Vec<String> = missing.iter().map(|(_, booking)| booking.clone()).collect();
    let rows = bookings.read_each(&ids).into_iter().filter_map(|(id, row)| Some((id, row.ok()??)));
    let known: HashMap<String, String> =
        rows.filter_map(|(id, row)| Some((id, row.get(Field::Reference)?.to_owned()))).collect();
    let found = missing.into_iter().filter_map(|(id, booking)| Some((id, known.get(&booking)?.clone())));
    let (ids, references): (Vec<i64>, Vec<String>) = found.unzip();
    if ids.is_empty() {
        return Ok(());
    }
    statement::run(include_str!("../../../sql/queries/alerts/set_references.sql"), &[ids.into(), references.into()])
}

/// The source table, or `None` if it cannot be read: an alert is mailed anyway.
pub(crate) fn source_table() -> Option<Bookings> {
    subtransaction(Bookings::load).ok().flatten()
}

/// True once after alerts were raised in this process.
pub fn take_raised() -> bool {
    RAISED.take()
}

/// Alerts for bookings that were queued longer than `after` ago.
pub fn stale_bookings(after: std::time::Duration) -> Result<Vec<Raised>> {
    let state_text = |state: &str| match state {
        "ready" => "it is still queued",
        "unknown" => "it is unknown whether Guestly has it",
        "sending" => "its call has not returned",
        _ => "it is being retried",
    };
    statement::rows(
        include_str!("../../../sql/queries/queue/stale_bookings.sql"),
        &[after.as_secs_f64().into()],
        |row| {
            let class = row.text("error_class")?.and_then(|name| ErrorClass::parse(&name));
            let state = row.text("state")?.unwrap_or_default();
            let last = row.text("error")?.map(|error| format!("; the last problem: {error}")).unwrap_or_default();
            let sentence = format!("paid but not yet in Guestly: {}{last}", state_text(&state));
            Ok(Raised {
                booking_id: row.text("booking_id")?,
                class,
                since: row.time("queued_at")?,
                ..Raised::new(AlertKind::Stale, sentence)
            })
        },
    )
}

/// Start of an outage that has an alert, and no alert about its end.
pub fn open_outage() -> Result<Option<DateTime<Utc>>> {
    let found =
        statement::row(include_str!("../../../sql/queries/alerts/open_outage.sql"), &[], |row| Ok(row.get::<f64>(1)?))?;
    Ok(found.flatten().map(time))
}

/// The number of bookings that failed in an outage since `since`; `None` while bookings of the outage still wait.
pub fn outage_over(since: DateTime<Utc>) -> Result<Option<i64>> {
    let sql = include_str!("../../../sql/queries/alerts/outage_over.sql");
    statement::row(sql, &[seconds(since).into()], |row| Ok(row.get::<i64>(1)?.unwrap_or_default()))
}

/// Every waiting alert, and the kinds of those that this version does not know. Closes alerts whose bookings were placed
/// meanwhile.
pub fn waiting() -> Result<(Vec<WaitingAlert>, Vec<String>)> {
    statement::run(include_str!("../../../sql/queries/alerts/close_placed.sql"), &[])?;
    let mut unknown = Vec::new();
    let found = statement::rows(include_str!("../../../sql/queries/alerts/waiting.sql"), &[], |row| {
        let name = row.text("kind")?.unwrap_or_default();
        let Some(kind) = AlertKind::parse(&name) else {
            unknown.push(name);
            return Ok(None);
        };
        let pending = PendingAlert {
            id: row.get_by_name("id")?.unwrap_or_default(),
            kind,
            booking_id: row.text("booking_id")?,
            cause: row.text("cause")?.unwrap_or_default(),
            created_at: row.time("raised_at")?.unwrap_or_default(),
            arrival: row.day("arrival")?,
            mail_key: row.text("mail_key")?,
        };
        Ok(Some(WaitingAlert {
            pending,
            sentence: row.text("sentence")?.unwrap_or_default(),
            since: row.time("since")?,
            waiting: row.get_by_name("waiting")?,
            reference: row.text("reference")?,
        }))
    })?;
    Ok((found.into_iter().flatten().collect(), unknown))
}

/// The alerts that were mailed within the last day.
pub fn recently_mailed() -> Result<Vec<MailedAlert>> {
    let found = statement::rows(include_str!("../../../sql/queries/alerts/recently_mailed.sql"), &[], |row| {
        // An unknown kind was mailed by another version; this one has no alerts of it.
        let Some(kind) = row.text("kind")?.and_then(|name| AlertKind::parse(&name)) else { return Ok(None) };
        Ok(Some(MailedAlert {
            kind,
            booking_id: row.text("booking_id")?,
            cause: row.text("cause")?.unwrap_or_default(),
            at: row.time("closed_at")?.unwrap_or_default(),
        }))
    })?;
    Ok(found.into_iter().flatten().collect())
}

/// Sets the key of the mail with which these alerts are about to leave; or clears it, with the answer, after a mail that was
/// certainly not accepted.
pub fn set_mail_key(ids: &[i64], key: Option<&str>, answer: Option<&str>) -> Result<()> {
    statement::run(
        include_str!("../../../sql/queries/alerts/set_mail_key.sql"),
        &[ids.to_vec().into(), key.into(), answer.into()],
    )
}

/// Closes alerts, with the mail server's answer, if any.
pub fn close(ids: &[i64], state: AlertState, answer: Option<&str>) -> Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    statement::run(
        include_str!("../../../sql/queries/alerts/close.sql"),
        &[ids.to_vec().into(), state.as_str().into(), answer.into()],
    )
}

/// Deletes one batch of closed alerts from before `until`; true if there may be more.
pub fn prune(until: DateTime<Utc>) -> Result<bool> {
    let sql = include_str!("../../../sql/queries/alerts/prune.sql");
    Ok(statement::rows(sql, &[seconds(until).into()], |_| Ok(()))?.len() >= PRUNE_STEP)
}
