//! Writes outcomes back to the source table. Part of `pg::host::bookings`; main thread only.

use super::{Bookings, WriteBack};
use crate::pg::db::session::Result;
use crate::pg::{db::report, db::statement, host_code, sys, trigger};

const STILL_QUEUED: &str = "They are sent anyway. A trigger on the bookings table rejects the change of their rows.";

impl Bookings {
    /// Writes the five columns. Errors: whatever the host's triggers raise. A host's trigger may set the time of the last update,
    /// which is a change if the mapping reads the whole row. Such a change is recorded only for synced bookings: it would queue
    /// failed ones again for ever, and pending ones are queued anyway.
    pub fn write(&self, writes: &[&WriteBack]) -> Result<()> {
        let sql = format!(
            "UPDATE {} b SET guestly_sync_status = w.status, guestly_reservation_id = coalesce(w.reservation_id, b.guestly_reservation_id), \
             guestly_sync_error = w.error, guestly_sync_attempts = w.attempts, \
             guestly_synced_at = CASE w.status WHEN 'synced' THEN pg_catalog.clock_timestamp() ELSE b.guestly_synced_at END \
             FROM ROWS FROM (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[]), pg_catalog.unnest($3::text[]), \
             pg_catalog.unnest($4::text[]), pg_catalog.unnest($5::integer[]), pg_catalog.unnest($6::boolean[])) \
             AS w(id, status, reservation_id, error, attempts, idle) \
             WHERE {}::text OPERATOR (pg_catalog.=) w.id AND {} AND NOT (w.idle \
             AND (b.guestly_sync_status::text, b.guestly_reservation_id::text, b.guestly_sync_error::text) \
             IS NOT DISTINCT FROM (w.status, w.reservation_id, w.error))",
            self.table(),
            self.key(),
            // By key, however large the table has become since the statement was planned.
            self.by_key()
        );
        let deferrable = self.immediate()?;
        let write = |writes: &[&WriteBack]| self.write_as_owner(&sql, deferrable.as_deref(), writes);
        let (synced, others): (Vec<&WriteBack>, Vec<&WriteBack>) =
            writes.iter().partition(|write| write.status == "synced");
        if !synced.is_empty() {
            write(&synced)?;
        }
        if others.is_empty() { Ok(()) } else { trigger::without_recording_changes(|| write(&others)) }
    }

    /// Marks bookings as `pending`, without error and attempts. A row that raises does not stop the others: all together first,
    /// then one by one; a WARNING has the number of those that were not changed. Errors: a cancel of this statement.
    pub fn mark_pending(&self, booking_ids: &[String]) -> Result<()> {
        let writes: Vec<WriteBack> = booking_ids.iter().map(|id| WriteBack::unsynced(id, "pending", None, 0)).collect();
        let Err(error) = self.write(&writes.iter().collect::<Vec<_>>()) else { return Ok(()) };
        if error.is_cancel() {
            return Err(error);
        }
        let mut refused = Vec::new();
        for write in &writes {
            match self.write(&[write]) {
                Err(error) if error.is_cancel() => return Err(error),
                Err(error) => refused.push((&write.booking_id, error)),
                Ok(()) => {}
            }
        }
        if let Some((id, error)) = refused.first() {
            let message = format!("{} queued booking(s) could not be marked as pending, {id} first", refused.len());
            report::warn(error.code, format!("guestly_sync: {message}: {}", error.safe_message()), STILL_QUEUED);
        }
        Ok(())
    }

    fn write_as_owner(&self, sql: &str, deferrable: Option<&str>, writes: &[&WriteBack]) -> Result<()> {
        let ids: Vec<String> = writes.iter().map(|write| write.booking_id.clone()).collect();
        let statuses: Vec<String> = writes.iter().map(|write| write.status.to_owned()).collect();
        let reservations: Vec<Option<String>> = writes.iter().map(|write| write.reservation_id.clone()).collect();
        let errors: Vec<Option<String>> = writes.iter().map(|write| write.error.clone()).collect();
        let attempts: Vec<i32> = writes.iter().map(|write| write.attempts).collect();
        let idle: Vec<bool> = writes.iter().map(|write| write.idle).collect();
        host_code::as_owner_in_time(&self.owner, || {
            // Deferred triggers would fire at commit with the rights of the committing role; a restricted operation forbids them.
            if let Some(names) = deferrable {
                statement::run(&format!("SET CONSTRAINTS {names} IMMEDIATE"), &[])?;
            }
            let args = [ids.into(), statuses.into(), reservations.into(), errors.into(), attempts.into(), idle.into()];
            statement::run(sql, &args)
        })
    }

    /// The constraints whose triggers must fire with the write, for SET CONSTRAINTS. In the worker all of them: its transactions
    /// have no other deferred triggers. In a session those of the source table whose name no other table uses: the caller's own
    /// deferred triggers must not fire with the rights of the owner.
    fn immediate(&self) -> Result<Option<String>> {
        if sys::is_background_worker() {
            return Ok(Some("ALL".to_owned()));
        }
        let table = [self.owner.relation.into()];
        let sql = include_str!("../../../../sql/queries/host/deferrable_constraints.sql");
        Ok(statement::row(sql, &table, |row| Ok(row.get(1)?))?.flatten())
    }
}
