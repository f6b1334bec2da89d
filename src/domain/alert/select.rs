//! Selects the alerts of the next mail, and the time when it may leave. Part of `domain::alert`; pure, any thread.
//!
//! The rules, in order:
//! 1. An alert that was mailed less than a day ago is not repeated unless its cause has changed.
//! 2. Of several alerts on one topic only the latest is mailed; the others leave with it.
//! 3. A mail waits until its oldest alert is `digest` old, except for a guest who arrives within 48 hours.
//! 4. Mails keep a distance, longer if there are many alerts, and at most three leave in a minute.
//! 5. A mail that the server may have accepted is sent again alone and with the same key, so that a copy is recognized.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use super::kind::AlertKind;
use super::urgency::is_urgent;
use crate::domain::retry::{MAIL_CROWD, MAIL_CROWD_GAP, MAIL_GAP, MAIL_REPEAT, MAIL_WINDOW, MAILS_PER_WINDOW};

/// A row of `guestly.alerts` that waits to be mailed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingAlert {
    /// Its key, in the order of insertion.
    pub id: i64,
    /// The reason.
    pub kind: AlertKind,
    /// The booking, for kinds about one.
    pub booking_id: Option<String>,
    /// See `cause::cause`.
    pub cause: String,
    /// When it was raised.
    pub created_at: DateTime<Utc>,
    /// The booking's day of arrival.
    pub arrival: Option<NaiveDate>,
    /// Key of a mail with this row that the server may have accepted: set before sending, cleared if it certainly was not.
    pub mail_key: Option<String>,
}

/// A row of `guestly.alerts` that was mailed. Needed are all of the last minute, and of the last day the latest of each topic
/// that is pending (for kinds not about a booking, of all kinds).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailedAlert {
    /// The reason.
    pub kind: AlertKind,
    /// The booking, for kinds about one.
    pub booking_id: Option<String>,
    /// See `cause::cause`.
    pub cause: String,
    /// When the server accepted its mail; rows of one mail have the same time.
    pub at: DateTime<Utc>,
}

/// The limits on mails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MailLimits {
    /// The setting `alert_digest`: how long alerts are collected.
    pub digest: Duration,
    /// No mail before this time, because the mail server failed.
    pub not_before: Option<DateTime<Utc>>,
}

/// The alerts of one mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailBatch {
    /// Becomes the Message-ID. The same rows have the same key.
    pub key: String,
    /// Rows that the mail shows, oldest first.
    pub ids: Vec<i64>,
    /// Older rows on the same topics: they leave with the mail but are not shown.
    pub superseded: Vec<i64>,
}

/// The next step of the mailer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MailStep {
    /// Nothing waits.
    Nothing,
    /// Ask again at this time, or when there is a new row.
    At(DateTime<Utc>),
    /// Send this mail now.
    Send(MailBatch),
}

/// The decision of [`select_for_mail`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailSelection {
    /// Rows that repeat an earlier mail: they are not mailed.
    pub repeated: Vec<i64>,
    /// The step for the others.
    pub next: MailStep,
}

/// Decides about all waiting rows. Times in the future (the clock went back) delay nothing.
#[must_use]
pub fn select_for_mail(
    pending: &[PendingAlert],
    history: &[MailedAlert],
    limits: &MailLimits,
    now: DateTime<Utc>,
) -> MailSelection {
    if let Some(uncertain) =
        pending.iter().filter(|row| row.mail_key.is_some()).min_by_key(|row| (row.created_at, row.id))
    {
        let same: Vec<&PendingAlert> = pending.iter().filter(|row| row.mail_key == uncertain.mail_key).collect();
        let at = distance(history, same.len(), now).max(limits.not_before.unwrap_or(now));
        let next = if at > now { MailStep::At(at) } else { MailStep::Send(batch(&same)) };
        return MailSelection { repeated: Vec::new(), next };
    }
    let last = latest(history);
    let connection_fails = pending.iter().any(|row| is_connection_problem(row.kind));
    let topics = by_topic(pending.iter()).into_values();
    let (old, new): (Vec<_>, Vec<_>) = topics.partition(|rows| is_repetition(rows, connection_fails, &last, now));
    let repeated = old.into_iter().flatten().map(|row| row.id).collect();
    let rows: Vec<&PendingAlert> = new.into_iter().flatten().collect();
    let Some(ready) = rows.iter().map(|row| ready_at(row, limits, now)).min() else {
        return MailSelection { repeated, next: MailStep::Nothing };
    };
    let at = ready.max(distance(history, rows.len(), now)).max(limits.not_before.unwrap_or(now));
    let next = if at > now { MailStep::At(at) } else { MailStep::Send(batch(&rows)) };
    MailSelection { repeated, next }
}

/// Alerts on the same topic replace each other.
type Topic<'a> = (&'static str, &'a str);

fn topic(kind: AlertKind, booking_id: Option<&str>) -> Topic<'_> {
    match kind {
        AlertKind::BookingFailed | AlertKind::DatesTaken | AlertKind::Deleted | AlertKind::Stale => {
            ("booking", booking_id.unwrap_or(""))
        }
        _ => (kind.as_str(), booking_id.unwrap_or("")),
    }
}

/// The rows of each topic, oldest first.
fn by_topic<'a>(pending: impl Iterator<Item = &'a PendingAlert>) -> BTreeMap<Topic<'a>, Vec<&'a PendingAlert>> {
    let mut topics: BTreeMap<_, Vec<&PendingAlert>> = BTreeMap::new();
    for row in pending {
        topics.entry(topic(row.kind, row.booking_id.as_deref())).or_default().push(row);
    }
    topics.values_mut().for_each(|rows| rows.sort_by_key(|row| (row.created_at, row.id)));
    topics
}

/// The latest mail about each topic.
fn latest(history: &[MailedAlert]) -> BTreeMap<Topic<'_>, &MailedAlert> {
    let mut last: BTreeMap<Topic<'_>, &MailedAlert> = BTreeMap::new();
    for mail in history {
        let known = last.entry(topic(mail.kind, mail.booking_id.as_deref())).or_insert(mail);
        if mail.at >= known.at {
            *known = mail;
        }
    }
    last
}

/// True for a problem of the connection to Guestly.
fn is_connection_problem(kind: AlertKind) -> bool {
    !kind.is_about_a_booking() && kind != AlertKind::Recovered
}

/// True if the latest row of a topic repeats the latest mail about it. `connection_fails`: a connection problem waits to be
/// mailed.
fn is_repetition(
    rows: &[&PendingAlert],
    connection_fails: bool,
    last: &BTreeMap<Topic<'_>, &MailedAlert>,
    now: DateTime<Utc>,
) -> bool {
    let Some(row) = rows.last() else { return false };
    let mail_about = |kind: AlertKind| last.get(&topic(kind, None)).copied();
    let recovered = row.kind == AlertKind::Recovered;
    let mailed = match row.kind.is_about_a_booking() {
        true => last.get(&topic(row.kind, row.booking_id.as_deref())).copied(),
        false if recovered && connection_fails => None,
        // Raised once each time that the credentials stop working: never a repetition.
        false if matches!(row.kind, AlertKind::Credentials | AlertKind::TokenCap) => None,
        // A recovery is new after any problem, and a problem is new after a recovery.
        false => AlertKind::ALL
            .into_iter()
            .filter(|kind| {
                !kind.is_about_a_booking() && (recovered || *kind == row.kind || *kind == AlertKind::Recovered)
            })
            .filter_map(mail_about)
            .max_by_key(|mail| mail.at),
    };
    mailed.is_some_and(|mail| {
        let unchanged = mail.kind == row.kind && (recovered || mail.cause == row.cause);
        unchanged && (now - mail.at).abs() < MAIL_REPEAT
    })
}

/// When a mail of this row alone may leave.
fn ready_at(row: &PendingAlert, limits: &MailLimits, now: DateTime<Utc>) -> DateTime<Utc> {
    let since = row.created_at.min(now);
    if is_urgent(row.arrival, now) {
        return since;
    }
    let digest = TimeDelta::from_std(limits.digest).unwrap_or(TimeDelta::MAX);
    since.checked_add_signed(digest).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// The earliest time that rule 4 allows for a mail of `waiting` rows; in the past if it does not apply.
fn distance(history: &[MailedAlert], waiting: usize, now: DateTime<Utc>) -> DateTime<Utc> {
    let recent = history.iter().map(|mail| mail.at).filter(|at| *at <= now && now - *at < MAIL_WINDOW);
    let mut mails: Vec<_> = recent.collect();
    let gap = if mails.len() + waiting > MAIL_CROWD { MAIL_CROWD_GAP } else { MAIL_GAP };
    mails.sort_unstable();
    mails.dedup();
    let Some(last) = mails.last() else { return DateTime::<Utc>::MIN_UTC };
    let first = mails.len().checked_sub(MAILS_PER_WINDOW).and_then(|at| mails.get(at));
    first.map_or(*last + gap, |first| (*last + gap).max(*first + MAIL_WINDOW))
}

/// One mail of these rows; it shows the latest of each topic.
fn batch(rows: &[&PendingAlert]) -> MailBatch {
    let (mut ids, mut superseded) = (Vec::new(), Vec::new());
    for mut same in by_topic(rows.iter().copied()).into_values() {
        ids.extend(same.pop().map(|row| (row.created_at, row.id)));
        superseded.extend(same.iter().map(|row| row.id));
    }
    ids.sort_unstable();
    superseded.sort_unstable();
    MailBatch { key: key(rows), ids: ids.into_iter().map(|(_, id)| id).collect(), superseded }
}

/// The key of an earlier mail with these rows, or a new key that no other rows have.
fn key(rows: &[&PendingAlert]) -> String {
    if let Some(key) = rows.first().and_then(|row| row.mail_key.clone()) {
        return key;
    }
    let first = rows.iter().map(|row| row.id).min().unwrap_or(0);
    let last = rows.iter().map(|row| row.id).max().unwrap_or(0);
    // Ids alone are not unique: each database counts from 1.
    let created = rows.iter().map(|row| row.created_at.timestamp_micros()).min().unwrap_or(0);
    format!("guestly-{created}-{first}-{last}-{count}", count = rows.len())
}

#[cfg(test)]
#[path = "select_tests.rs"]
mod tests;
