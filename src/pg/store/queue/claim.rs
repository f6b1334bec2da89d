//! Reading the queue: what may go now. Part of `pg::queue`: main thread only.

use chrono::{DateTime, Utc};
use pgrx::datum::DatumWithOid;

use super::Due;
use crate::domain::breaker::Kind;
use crate::domain::error::{ErrorClass, Problem};
use crate::pg::db::convert::{seconds, time};
use crate::pg::db::session::Result;
use crate::pg::db::statement;
use crate::pg::store::reservations::{KNOWN, known, natural};

/// The column after those.
const FAILED_READS: usize = KNOWN + 15;

/// What is passed over.
#[derive(Clone, Debug, Default)]
pub struct Skip {
    /// These bookings.
    pub bookings: Vec<String>,
    /// What this kind of call is probably due for, as far as the tables tell before the booking is read.
    pub kind: Option<Kind>,
}

/// Up to `limit` bookings that may go now, nearest arrival first, locked; none of those to skip.
pub fn claim_due(now: DateTime<Utc>, limit: u32, skip: Skip) -> Result<Vec<Due>> {
    let args: [DatumWithOid; 4] =
        [seconds(now).into(), i64::from(limit).into(), skip.bookings.into(), skip.kind.map(Kind::as_str).into()];
    statement::rows(include_str!("../../../../sql/queries/queue/claim_due.sql"), &args, |row| {
        let class =
            |column| Ok::<_, pgrx::spi::Error>(row.get::<String>(column)?.and_then(|name| ErrorClass::parse(&name)));
        let sentence = row.get::<String>(10)?.unwrap_or_default();
        Ok(Due {
            booking_id: row.get(1)?.unwrap_or_default(),
            attempts: natural(row, 2)?,
            force: row.get(3)?.unwrap_or_default(),
            in_doubt: row.get(4)?.unwrap_or_default(),
            doubt_since: row.get::<f64>(5)?.map(time),
            look_ups: natural(row, 6)?,
            failed_reads: natural(row, FAILED_READS)?,
            creates: natural(row, 7)?,
            verdict: class(8)?,
            problem: class(9)?.map(|class| Problem::new(class, sentence)),
            code: row.get(11)?,
            claim: row.get(12)?,
            settled: row.get(13)?.unwrap_or_default(),
            absent: None,
            known: known(row)?,
        })
    })
}
