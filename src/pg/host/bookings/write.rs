//! Writing outcomes back to the host's table. Part of `pg::bookings`: main thread only.

use pgrx::spi::quote_identifier;

use super::{Bookings, WriteBack};
use crate::pg::session::{Result, as_owner_in_time};
use crate::pg::{report, statement, trigger};

const STILL_QUEUED: &str =
    "They are sent all the same. A trigger on the bookings table refuses the change of their rows.";

impl Bookings {
    /// Writes the five columns. Errors: whatever the host's triggers raise. A trigger that sets the time of the last update
    /// changes the row for a mapping that reads the whole of it. Such a change of a synced booking gets one look; of one that
    /// failed it would be queued again for ever, and of one on its way a look comes anyway.
    pub fn write(&self, writes: &[&WriteBack]) -> Result<()> {
        let sql = format!(
            "UPDATE {} b SET guestly_sync_status = w.status, guestly_reservation_id = coalesce(w.reservation_id, b.guestly_reservation_id), \
             guestly_sync_error = w.error, guestly_sync_attempts = w.attempts, \
             guestly_synced_at = CASE w.status WHEN 'synced' THEN pg_catalog.clock_timestamp() ELSE b.guestly_synced_at END \
             FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::integer[], $6::boolean[]) \
             AS w(id, status, reservation_id, error, attempts, idle) WHERE b.{} = w.id::{} AND {} AND NOT (w.idle \
             AND (b.guestly_sync_status, b.guestly_reservation_id, b.guestly_sync_error) \
             IS NOT DISTINCT FROM (w.status, w.reservation_id, w.error))",
            self.table(),
            quote_identifier(&self.key),
            self.key_type,
            // By key, however large the table has become since it was planned.
            self.by_key()
        );
        let deferrable = self.deferrable()?;
        let write = |writes: &[&WriteBack]| self.write_as_owner(&sql, deferrable.as_deref(), writes);
        let (synced, others): (Vec<&WriteBack>, Vec<&WriteBack>) =
            writes.iter().partition(|write| write.status == "synced");
        if !synced.is_empty() {
            write(&synced)?;
        }
        if others.is_empty() { Ok(()) } else { trigger::unwatched(|| write(&others)) }
    }

    /// Marks bookings as on their way again: `pending`, no error, no tries. A row that raises takes no other down: all together
    /// first, then one by one, and a WARNING tells of those that stay as they were. Errors: somebody asked this statement to
    /// stop.
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
            report::warn(error.code, format!("guestly_sync: {message}: {}", error.words()), STILL_QUEUED);
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
        as_owner_in_time(&self.owner, || {
            // A deferred trigger would fire at commit, with the rights of whoever commits. Those of other tables are none of
            // our business: fired here, they would run with the rights of this table's owner.
            if let Some(names) = deferrable {
                statement::run(&format!("SET CONSTRAINTS {names} IMMEDIATE"), &[])?;
            }
            let args = [ids.into(), statuses.into(), reservations.into(), errors.into(), attempts.into(), idle.into()];
            statement::run(sql, &args)
        })
    }

    /// Names of its deferrable constraints, as SET CONSTRAINTS takes them.
    fn deferrable(&self) -> Result<Option<String>> {
        let table = [self.owner.relation.into()];
        let names =
            statement::row(include_str!("../../../../sql/queries/deferrable.sql"), &table, |row| Ok(row.get(1)?))?;
        Ok(names.flatten())
    }
}
