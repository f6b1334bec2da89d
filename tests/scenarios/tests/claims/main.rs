//! Claims on queue rows: prefetch, fencing, locks, crashes, clock changes, damaged tables.

mod claim_fencing;
mod clock_jumps;
mod crash_recovery;
mod damaged_tables;
mod deadlock;
mod locked_rows;
mod prefetch;
mod unreadable_tables;
