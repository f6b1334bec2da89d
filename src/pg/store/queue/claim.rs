//! Claims due rows. Part of `pg::store::queue`; main thread only.

use chrono::{DateTime, Utc};
use pgrx::datum::DatumWithOid;

use crate::domain::breaker::CallKind;
use crate::domain::error::{ErrorClass, Problem};
use crate::domain::operation::Operation;
use crate::domain::queue_row::QueueRow;
use crate::pg::db::convert::{Named, seconds};
use crate::pg::db::session::{Result, SqlError};
use crate::pg::db::statement;
use crate::pg::store::reservations::remote;

/// The rows that a claim leaves out.
#[derive(Clone, Debug, Default)]
pub struct Skip {
    /// These bookings.
    pub bookings: Vec<String>,
    /// Bookings whose next call is probably of this kind, judging by the tables alone.
    pub kind: Option<CallKind>,
}

/// Locks up to `limit` due rows, earliest arrival first, without those to skip.
pub fn claim_due(now: DateTime<Utc>, limit: u32, skip: Skip) -> Result<Vec<QueueRow>> {
    let args: [DatumWithOid; 4] =
        [seconds(now).into(), i64::from(limit).into(), skip.bookings.into(), skip.kind.map(CallKind::as_str).into()];
    statement::rows(include_str!("../../../../sql/queries/queue/claim_due.sql"), &args, |row| {
        let class = |name| Ok::<_, SqlError>(row.text(name)?.and_then(|class| ErrorClass::parse(&class)));
        let sentence = row.text("error")?.unwrap_or_default();
        Ok(QueueRow {
            booking_id: row.text("booking_id")?.unwrap_or_default(),
            operation: Operation::default(),
            attempts: row.count("attempts")?,
            force: row.flag("force")?,
            verify_first: row.flag("verify_first")?,
            uncertain_since: row.time("uncertain_since")?,
            look_ups: row.count("look_ups")?,
            failed_reads: row.count("failed_reads")?,
            unconfirmed_creates: row.count("unconfirmed_creates")?,
            pending_refusal: class("pending_refusal")?,
            problem: class("error_class")?.map(|class| Problem::new(class, sentence)),
            code: row.text("create_code")?,
            claim_id: row.get_by_name("claim_id")?,
            waited: row.flag("waited")?,
            missing_reservation: None,
            remote: remote(row)?,
        })
    })
}
