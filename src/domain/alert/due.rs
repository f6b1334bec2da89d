//! When a mail may leave and what goes into it. Called through `domain::alert`; pure, any thread.
//!
//! The rules, in the order in which they bite:
//! 1. What was mailed and has not changed for less than a day is not repeated.
//! 2. Of several alerts about one thing the latest is mailed; the others leave with it.
//! 3. A mail waits until its oldest alert is `digest` old, except for a guest who arrives within 48 hours.
//! 4. Mails keep a distance (longer when alerts come in crowds), and at most three leave in a minute.
//! 5. A mail that may have been taken is sent again alone and under the same key, so that a copy can be recognised.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use super::{AlertKind, is_urgent};

/// An unchanged cause is mailed again after this.
const REPEAT: TimeDelta = TimeDelta::hours(24);
/// The window of the limit, and the limit.
const WINDOW: TimeDelta = TimeDelta::seconds(60);
const PER_WINDOW: usize = 3;
/// Distance between mails while alerts are few.
const GAP: TimeDelta = TimeDelta::seconds(5);
/// Distance while they come in crowds: three mails then cover a whole minute of failures.
const CROWD_GAP: TimeDelta = TimeDelta::seconds(30);
/// More alerts than this in a minute are a crowd.
const CROWD: usize = 10;

/// A row of `guestly.alerts` that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Its key; later rows have larger ones.
    pub id: i64,
    /// What it is about.
    pub kind: AlertKind,
    /// The booking, for kinds that are about one.
    pub booking_id: Option<String>,
    /// See [`super::cause`].
    pub cause: String,
    /// When it was raised.
    pub created_at: DateTime<Utc>,
    /// The booking's day of arrival.
    pub arrival: Option<NaiveDate>,
    /// The key of a mail that held this row and may have been taken: set before sending, cleared when it surely was not.
    pub mail_key: Option<String>,
}

/// A row of `guestly.alerts` that was mailed. Needed are those of the last minute, and of the last day the latest of each
/// thing that is pending (of all kinds that are not about a booking).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailed {
    /// What it was about.
    pub kind: AlertKind,
    /// The booking, for kinds that are about one.
    pub booking_id: Option<String>,
    /// See [`super::cause`].
    pub cause: String,
    /// When its mail was taken; rows of one mail have the same time.
    pub at: DateTime<Utc>,
}

/// The speed limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// `alert_digest`: how long alerts are collected.
    pub digest: Duration,
    /// The mail server failed: nothing leaves before.
    pub not_before: Option<DateTime<Utc>>,
}

/// What goes into one mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Names the mail; becomes its Message-ID. The same rows have the same key.
    pub key: String,
    /// Rows to be told, oldest first.
    pub ids: Vec<i64>,
    /// Older rows about the same things: they leave with the mail without being told.
    pub superseded: Vec<i64>,
}

/// What to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing waits.
    Nothing,
    /// Ask again then, or when there is a new row.
    At(DateTime<Utc>),
    /// Send this now, one mail at a time.
    Send(Batch),
}

/// The answer of [`due`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Rows that say nothing new: they leave unmailed.
    pub repeated: Vec<i64>,
    /// What to do with the others.
    pub next: Next,
}

/// Decides over all rows that wait, given what was mailed. Times in the future (the clock went back) hold nothing up.
#[must_use]
pub fn due(pending: &[Pending], history: &[Mailed], pace: &Pace, now: DateTime<Utc>) -> Plan {
    if let Some(doubtful) =
        pending.iter().filter(|row| row.mail_key.is_some()).min_by_key(|row| (row.created_at, row.id))
    {
        let same: Vec<&Pending> = pending.iter().filter(|row| row.mail_key == doubtful.mail_key).collect();
        let at = distance(history, same.len(), now).max(pace.not_before.unwrap_or(now));
        let next = if at > now { Next::At(at) } else { Next::Send(batch(&same)) };
        return Plan { repeated: Vec::new(), next };
    }
    let last = latest(history);
    let troubled = pending.iter().any(|row| is_trouble(row.kind));
    let topics = by_topic(pending.iter()).into_values();
    let (old, new): (Vec<_>, Vec<_>) = topics.partition(|rows| is_repetition(rows, troubled, &last, now));
    let repeated = old.into_iter().flatten().map(|row| row.id).collect();
    let rows: Vec<&Pending> = new.into_iter().flatten().collect();
    let Some(ready) = rows.iter().map(|row| ready_at(row, pace, now)).min() else {
        return Plan { repeated, next: Next::Nothing };
    };
    let at = ready.max(distance(history, rows.len(), now)).max(pace.not_before.unwrap_or(now));
    let next = if at > now { Next::At(at) } else { Next::Send(batch(&rows)) };
    Plan { repeated, next }
}

/// What an alert is about: alerts on the same topic replace each other.
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
fn by_topic<'a>(pending: impl Iterator<Item = &'a Pending>) -> BTreeMap<Topic<'a>, Vec<&'a Pending>> {
    let mut topics: BTreeMap<_, Vec<&Pending>> = BTreeMap::new();
    for row in pending {
        topics.entry(topic(row.kind, row.booking_id.as_deref())).or_default().push(row);
    }
    topics.values_mut().for_each(|rows| rows.sort_by_key(|row| (row.created_at, row.id)));
    topics
}

/// The latest mail about each topic.
fn latest(history: &[Mailed]) -> BTreeMap<Topic<'_>, &Mailed> {
    let mut last: BTreeMap<Topic<'_>, &Mailed> = BTreeMap::new();
    for mail in history {
        let known = last.entry(topic(mail.kind, mail.booking_id.as_deref())).or_insert(mail);
        if mail.at >= known.at {
            *known = mail;
        }
    }
    last
}

/// Something is wrong between us and Guestly, whatever the booking.
fn is_trouble(kind: AlertKind) -> bool {
    !kind.is_about_a_booking() && kind != AlertKind::Recovered
}

/// Whether the latest of a topic's rows says what the latest mail about it said. `troubled`: some trouble waits to be told.
fn is_repetition(rows: &[&Pending], troubled: bool, last: &BTreeMap<Topic<'_>, &Mailed>, now: DateTime<Utc>) -> bool {
    let Some(row) = rows.last() else { return false };
    let mail_about = |kind: AlertKind| last.get(&topic(kind, None)).copied();
    let recovered = row.kind == AlertKind::Recovered;
    let told = match row.kind.is_about_a_booking() {
        true => last.get(&topic(row.kind, row.booking_id.as_deref())).copied(),
        false if recovered && troubled => None,
        // Raised once for each time that the credentials stopped to work: never a repetition.
        false if matches!(row.kind, AlertKind::Credentials | AlertKind::TokenCap) => None,
        // A recovery is news after any trouble, and a trouble is news after a recovery.
        false => AlertKind::ALL
            .into_iter()
            .filter(|kind| {
                !kind.is_about_a_booking() && (recovered || *kind == row.kind || *kind == AlertKind::Recovered)
            })
            .filter_map(mail_about)
            .max_by_key(|mail| mail.at),
    };
    told.is_some_and(|mail| {
        let unchanged = mail.kind == row.kind && (recovered || mail.cause == row.cause);
        unchanged && (now - mail.at).abs() < REPEAT
    })
}

/// When a row alone would make a mail due.
fn ready_at(row: &Pending, pace: &Pace, now: DateTime<Utc>) -> DateTime<Utc> {
    let since = row.created_at.min(now);
    if is_urgent(row.arrival, now) {
        return since;
    }
    let digest = TimeDelta::from_std(pace.digest).unwrap_or(TimeDelta::MAX);
    since.checked_add_signed(digest).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// The earliest moment that the limits leave free for a mail of `waiting` rows; in the past if there is none to heed.
fn distance(history: &[Mailed], waiting: usize, now: DateTime<Utc>) -> DateTime<Utc> {
    let recent = history.iter().map(|mail| mail.at).filter(|at| *at <= now && now - *at < WINDOW);
    let mut mails: Vec<_> = recent.collect();
    let gap = if mails.len() + waiting > CROWD { CROWD_GAP } else { GAP };
    mails.sort_unstable();
    mails.dedup();
    let Some(last) = mails.last() else { return DateTime::<Utc>::MIN_UTC };
    let first = mails.len().checked_sub(PER_WINDOW).and_then(|at| mails.get(at));
    first.map_or(*last + gap, |first| (*last + gap).max(*first + WINDOW))
}

/// One mail of these rows: the latest of each topic is told.
fn batch(rows: &[&Pending]) -> Batch {
    let (mut ids, mut superseded) = (Vec::new(), Vec::new());
    for mut same in by_topic(rows.iter().copied()).into_values() {
        ids.extend(same.pop().map(|row| (row.created_at, row.id)));
        superseded.extend(same.iter().map(|row| row.id));
    }
    ids.sort_unstable();
    superseded.sort_unstable();
    Batch { key: key(rows), ids: ids.into_iter().map(|(_, id)| id).collect(), superseded }
}

/// The key of the mail that held these rows before, or a new one that only these rows have.
fn key(rows: &[&Pending]) -> String {
    if let Some(key) = rows.first().and_then(|row| row.mail_key.clone()) {
        return key;
    }
    let first = rows.iter().map(|row| row.id).min().unwrap_or(0);
    let last = rows.iter().map(|row| row.id).max().unwrap_or(0);
    // Ids alone would begin anew with the table, and in every database.
    let born = rows.iter().map(|row| row.created_at.timestamp_micros()).min().unwrap_or(0);
    format!("guestly-{born}-{first}-{last}-{count}", count = rows.len())
}

#[cfg(test)]
#[path = "due_tests.rs"]
mod tests;
