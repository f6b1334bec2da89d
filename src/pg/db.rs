//! Transactions and statements: all SQL of `pg` runs through this module. Main thread only.
//!
//! | file | contents |
//! |---|---|
//! | `session.rs` | transactions, subtransactions, the owner's rights, SQL errors as values |
//! | `statement.rs` | statements, prepared once per process |
//! | `report.rs` | errors and warnings with SQLSTATE, detail and hint |
//! | `convert.rs` | conversion of times, counts and arrays |

pub mod convert;
pub mod report;
pub mod session;
pub mod statement;
