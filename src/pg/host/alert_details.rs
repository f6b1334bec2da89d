//! The bookings of an alert mail: read only when the mail is written, as the owner of the source table. Called by
//! `pg::worker::mailer`; main thread only, inside a transaction.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, NaiveDate, Utc};
use pgrx::datum::DatumWithOid;

use crate::domain::alert::{Alert, AlertBooking, AlertKind, MailBatch, Outage, last_arrival_of_list};
use crate::domain::error::ErrorClass;
use crate::domain::field::{Field, Row};
use crate::pg::db::convert::Named;
use crate::pg::db::session::Result;
use crate::pg::db::statement;
use crate::pg::host::bookings::Bookings;
use crate::pg::settings::paid_statuses;
use crate::pg::store::alerts::{WaitingAlert, source_table};

/// The conflict of a booking that overlaps none of our reservations.
const NOT_OURS: &str =
    "no reservation that was sent from here has these nights: it came from elsewhere; Guestly's calendar shows it";

/// The alerts of one mail, with everything that the mail shows.
pub fn describe(waiting: &[WaitingAlert], batch: &MailBatch, now: DateTime<Utc>) -> Result<Vec<Alert>> {
    let bookings = source_table();
    let bookings = bookings.as_ref();
    let shown: Vec<&WaitingAlert> = waiting.iter().filter(|row| batch.ids.contains(&row.pending.id)).collect();
    let ids: Vec<String> = shown.iter().filter_map(|row| row.pending.booking_id.clone()).collect();
    let mut found = Found::read(bookings, &ids)?;
    let taken = shown.iter().filter(|row| row.pending.kind == AlertKind::DatesTaken);
    found.look_for_conflicts(taken.filter_map(|row| row.pending.booking_id.as_deref()))?;
    let standstill = shown.iter().any(|row| row.pending.kind.is_standstill());
    let arrivals = if standstill { arrivals(bookings, now)? } else { Vec::new() };
    Ok(shown.iter().map(|row| alert(row, &found, &arrivals)).collect())
}

fn alert(row: &WaitingAlert, found: &Found, arrivals: &[AlertBooking]) -> Alert {
    let pending = &row.pending;
    let ended = pending.kind == AlertKind::Recovered;
    Alert {
        id: pending.id,
        kind: pending.kind,
        created_at: pending.created_at,
        booking: pending.booking_id.as_ref().map(|id| found.booking(id, row)),
        sentence: row.sentence.clone(),
        outage: row.since.filter(|_| !pending.kind.is_about_a_booking()).map(|since| Outage {
            since,
            until: ended.then_some(pending.created_at),
            waiting: row.waiting.and_then(|count| u64::try_from(count).ok()).unwrap_or_default(),
        }),
        arrivals: if pending.kind.is_standstill() { arrivals.to_vec() } else { Vec::new() },
    }
}

/// Bookings as they are now, by id.
#[derive(Default)]
struct Found {
    rows: HashMap<String, Row>,
    details: HashMap<String, AlertBooking>,
    gone: HashSet<String>,
}

impl Found {
    /// Reads the bookings one by one if necessary, so that a row that cannot be read does not hide the others.
    fn read(bookings: Option<&Bookings>, ids: &[String]) -> Result<Self> {
        let mut found = Self::default();
        let Some(bookings) = bookings.filter(|_| !ids.is_empty()) else { return Ok(found) };
        for (id, row) in bookings.read_each(ids) {
            match row {
                Ok(Some(row)) => {
                    found.details.insert(id.clone(), describe_booking(&row));
                    found.rows.insert(id, row);
                }
                Ok(None) => drop(found.gone.insert(id)),
                Err(_) => {}
            }
        }
        statement::rows(
            include_str!("../../../sql/queries/queue/booking_progress.sql"),
            &[ids.to_vec().into()],
            |row| {
                let booking = row.text("booking_id")?.and_then(|id| found.details.get_mut(&id));
                if let Some(booking) = booking {
                    booking.attempts = row.count("attempts")?;
                    booking.since = row.time("queued_at")?;
                    booking.class = row.text("error_class")?.and_then(|name| ErrorClass::parse(&name));
                    booking.problem = row.text("error")?;
                    booking.placed = row.flag("placed")?;
                    booking.uncertain = row.flag("uncertain")?;
                }
                Ok(())
            },
        )?;
        Ok(found)
    }

    /// Finds our reservations that overlap these bookings.
    fn look_for_conflicts<'a>(&mut self, ids: impl Iterator<Item = &'a str>) -> Result<()> {
        let taken: Vec<&Row> = ids.filter_map(|id| self.rows.get(id)).collect();
        let column = |value: &dyn Fn(&Row) -> Option<String>| -> Vec<Option<String>> {
            taken.iter().map(|row| value(row)).collect()
        };
        let text = |field: Field| move |row: &Row| row.get(field).map(str::to_owned);
        let args: [DatumWithOid; 5] = [
            column(&|row| Some(row.booking_id.clone())).into(),
            column(&text(Field::Property)).into(),
            column(&text(Field::PropertyId)).into(),
            column(&|row| day(row, Field::CheckIn).map(|day| day.to_string())).into(),
            column(&|row| day(row, Field::CheckOut).map(|day| day.to_string())).into(),
        ];
        if taken.is_empty() {
            return Ok(());
        }
        let ids: Vec<String> = taken.iter().map(|row| row.booking_id.clone()).collect();
        let sql = include_str!("../../../sql/queries/reservations/overlapping.sql");
        let ours: HashMap<String, String> =
            statement::rows(sql, &args, |row| Ok(row.get::<String>(1)?.zip(row.get::<String>(2)?)))?
                .into_iter()
                .flatten()
                .collect();
        for id in ids {
            if let Some(booking) = self.details.get_mut(&id) {
                booking.conflict = Some(ours.get(&id).cloned().unwrap_or_else(|| NOT_OURS.to_owned()));
            }
        }
        Ok(())
    }

    /// The booking or, if it was deleted or cannot be read, only the data of the alert.
    fn booking(&self, id: &str, row: &WaitingAlert) -> AlertBooking {
        self.details.get(id).cloned().unwrap_or_else(|| AlertBooking {
            booking_id: id.to_owned(),
            reference: row.reference.clone(),
            check_in: row.pending.arrival,
            uncertain: true,
            gone: self.gone.contains(id),
            ..AlertBooking::default()
        })
    }
}

/// Arrivals of the next 48 hours, whether or not Guestly has them: during an outage the front desk cannot look there.
fn arrivals(bookings: Option<&Bookings>, now: DateTime<Utc>) -> Result<Vec<AlertBooking>> {
    let (first, last) = (now.date_naive().to_string(), last_arrival_of_list(now).to_string());
    let from_table = bookings.map(|bookings| bookings.arriving(&paid_statuses(), &first, &last));
    let ids = match from_table {
        Some(Ok(ids)) => ids,
        // If the days in the table cannot be compared: at least the queued bookings.
        _ => statement::rows(
            include_str!("../../../sql/queries/queue/arriving_bookings.sql"),
            &[first.into(), last.into()],
            |row| Ok(row.get::<String>(1)?.unwrap_or_default()),
        )?,
    };
    let canceled = statement::rows(include_str!("../../../sql/queries/rules/canceled_statuses.sql"), &[], |row| {
        Ok(row.get::<String>(1)?.unwrap_or_default())
    })?;
    let found = Found::read(bookings, &ids)?;
    let is_expected =
        |row: &&Row| !row.get(Field::Status).is_some_and(|status| canceled.contains(&status.to_lowercase()));
    let shown = found.rows.values().filter(is_expected).filter_map(|row| found.details.get(&row.booking_id)).cloned();
    let mut shown: Vec<AlertBooking> = shown.collect();
    shown.sort_by_key(|booking| (booking.check_in, booking.booking_id.clone()));
    Ok(shown)
}

fn day(row: &Row, field: Field) -> Option<NaiveDate> {
    row.get(field).and_then(|text| text.get(..10)).and_then(|day| day.parse().ok())
}

fn describe_booking(row: &Row) -> AlertBooking {
    let text = |field| row.get(field).map(str::to_owned);
    let count = |field| row.get(field).and_then(|text| text.parse::<u32>().ok());
    let names: Vec<&str> =
        [Field::GuestFirstName, Field::GuestLastName].iter().filter_map(|field| row.get(*field)).collect();
    AlertBooking {
        booking_id: row.booking_id.clone(),
        reference: text(Field::Reference),
        guest: (!names.is_empty()).then(|| names.join(" ")),
        phone: text(Field::GuestPhone),
        check_in: day(row, Field::CheckIn),
        check_out: day(row, Field::CheckOut),
        flat: text(Field::Property).or_else(|| text(Field::PropertyId)),
        adults: count(Field::Adults),
        children: count(Field::Children).unwrap_or_default(),
        infants: count(Field::Infants).unwrap_or_default(),
        amount: text(Field::Total),
        payment_reference: text(Field::PaymentReference),
        ..AlertBooking::default()
    }
}
