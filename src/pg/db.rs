//! The way to SQL, whatever the statement is about. Main thread only.
//!
//! | file | what is in it |
//! |---|---|
//! | `session.rs` | transactions, subtransactions, the owner's rights, SQL errors as values |
//! | `statement.rs` | statements, prepared once per process |
//! | `report.rs` | errors and warnings with SQLSTATE, detail and hint |
//! | `convert.rs` | times, counts and arrays as statements take them |

pub mod convert;
pub mod report;
pub mod session;
pub mod statement;
