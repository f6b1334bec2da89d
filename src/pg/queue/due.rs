//! Reading the queue: what may go now. Part of `pg::queue`: main thread only.

use chrono::{DateTime, NaiveDate, Utc};
use pgrx::datum::DatumWithOid;

use super::{Due, seconds, time};
use crate::domain::breaker::CallKind;
use crate::domain::error::{ErrorClass, Problem};
use crate::domain::guests::GuestCount;
use crate::domain::snapshot::PaymentState;
use crate::domain::snapshot::{RemoteReservation, Snapshot};
use crate::pg::session::Result;
use crate::pg::statement::{self, Tuple};

/// The first column of `guestly.reservations` in the answer.
const KNOWN: usize = 14;

/// The column after those.
const FAILED_READS: usize = KNOWN + 15;

/// What is passed over.
#[derive(Clone, Debug, Default)]
pub struct Skip {
    /// These bookings.
    pub bookings: Vec<String>,
    /// What this kind of call is probably due for, as far as the tables tell before the booking is read.
    pub kind: Option<CallKind>,
}

/// Up to `limit` bookings that may go now, nearest arrival first, locked; none of those to skip.
pub fn due(now: DateTime<Utc>, limit: u32, skip: Skip) -> Result<Vec<Due>> {
    let args: [DatumWithOid; 4] =
        [seconds(now).into(), i64::from(limit).into(), skip.bookings.into(), skip.kind.map(CallKind::as_str).into()];
    statement::rows(include_str!("../../../sql/queries/due.sql"), &args, |row| {
        let class =
            |column| Ok::<_, pgrx::spi::Error>(row.get::<String>(column)?.and_then(|name| ErrorClass::parse(&name)));
        let sentence = row.get::<String>(10)?.unwrap_or_default();
        Ok(Due {
            booking_id: row.get(1)?.unwrap_or_default(),
            attempts: natural(row, 2)?,
            force: row.get(3)?.unwrap_or_default(),
            verify_first: row.get(4)?.unwrap_or_default(),
            uncertain_since: row.get::<f64>(5)?.map(time),
            look_ups: natural(row, 6)?,
            failed_reads: natural(row, FAILED_READS)?,
            unconfirmed_creates: natural(row, 7)?,
            pending_refusal: class(8)?,
            problem: class(9)?.map(|class| Problem::new(class, sentence)),
            code: row.get(11)?,
            claim: row.get(12)?,
            waited: row.get(13)?.unwrap_or_default(),
            missing_reservation: None,
            remote: remote(row)?,
        })
    })
}

/// What is held, from the columns that all statements about it share.
pub(super) fn remote(row: &Tuple) -> Result<Option<RemoteReservation>> {
    let Some(reservation_id) = row.get::<String>(KNOWN)? else { return Ok(None) };
    let day =
        |column| Ok::<_, pgrx::spi::Error>(row.get::<String>(column)?.and_then(|day| day.parse::<NaiveDate>().ok()));
    let guests = match row.get::<i32>(KNOWN + 6)? {
        Some(_) => Some(GuestCount {
            adults: natural(row, KNOWN + 6)?,
            children: natural(row, KNOWN + 7)?,
            infants: natural(row, KNOWN + 8)?,
            pets: natural(row, KNOWN + 9)?,
        }),
        None => None,
    };
    Ok(Some(RemoteReservation {
        reservation_id,
        code: row.get(KNOWN + 1)?.unwrap_or_default(),
        snapshot: Snapshot {
            status: row.get(KNOWN + 2)?,
            listing_id: row.get(KNOWN + 3)?,
            check_in: day(KNOWN + 4)?,
            check_out: day(KNOWN + 5)?,
            guests,
            notes: row.get(KNOWN + 13)?,
            payment: row.get::<String>(KNOWN + 14)?.and_then(|name| PaymentState::parse(&name)),
        },
        verified: row.get(KNOWN + 10)?.unwrap_or_default(),
        ended: row.get(KNOWN + 11)?.unwrap_or_default(),
        changed_at: row.get::<f64>(KNOWN + 12)?.map(time),
    }))
}

fn natural(row: &Tuple, column: usize) -> Result<u32> {
    Ok(row.get::<i32>(column)?.and_then(|number| u32::try_from(number).ok()).unwrap_or_default())
}
