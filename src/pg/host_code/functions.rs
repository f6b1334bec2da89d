//! SQL functions about the host code that the worker runs; they work while the worker hangs in it. Called by the doctor; only the
//! extension's owner may execute them. Main thread of a session.

/// The functions of the schema `guestly`, which `sql/schema` declares.
mod guestly {
    use pgrx::datum::TimestampWithTimeZone;
    use pgrx::prelude::*;

    use crate::pg::shm;

    /// The worker of this database while it runs host code, and the booking if the code runs for one alone; no row if it runs
    /// none.
    #[pg_extern(sql = false)]
    #[allow(clippy::type_complexity)] // The columns of a table function are one type to pgrx.
    fn host_code()
    -> TableIterator<'static, (name!(pid, i32), name!(since, TimestampWithTimeZone), name!(booking_id, Option<String>))>
    {
        let epoch = |micros: i64| pgrx::datum::to_timestamp(micros as f64 / 1e6);
        TableIterator::new(shm::host_code().map(|(pid, code)| (pid, epoch(code.since), code.booking_id())))
    }

    /// When the last sweep (the search for paid bookings that no trigger queued) was cancelled because it did not end in time;
    /// null if it ended.
    #[pg_extern(sql = false)]
    fn sweep_stopped_at() -> Option<TimestampWithTimeZone> {
        shm::sweep_stopped().map(|micros| pgrx::datum::to_timestamp(micros as f64 / 1e6))
    }
}
