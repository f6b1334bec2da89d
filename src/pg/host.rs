//! Access to the host's tables. Every statement on one is built, planned and run in this module, as the table's owner and in a
//! security-restricted operation (`session::as_owner`), whoever the caller is: planning alone runs code of the owner (index
//! expressions, constraints of children, row security, statistics). `tests/architecture.rs` rejects such statements anywhere
//! else. Main thread only.
//!
//! | file | contents |
//! |---|---|
//! | `bookings.rs`, `bookings/` | reading, locking and writing bookings |
//! | `define.rs` | columns, indexes, triggers and the comment on the source table |
//! | `alert_details.rs` | the bookings of an alert mail |
//! | `properties.rs` | the table of properties, which may have another owner |

pub mod alert_details;
pub mod bookings;
pub mod define;
pub mod properties;
