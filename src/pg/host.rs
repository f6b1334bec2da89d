//! The door to the host's tables. Every statement that names one is put together, planned and run in this module, as the
//! owner of that very table and in a security-restricted operation (`session::as_owner`), whoever called: planning alone
//! runs code of the owner (index expressions, constraints of children, row security, statistics). `tests/architecture.rs`
//! finds statements with a host table's name anywhere else. Main thread only.
//!
//! | file | what is in it |
//! |---|---|
//! | `bookings.rs`, `bookings/` | reading, locking and writing bookings |
//! | `define.rs` | columns, indexes, triggers and the comment on the attached table |
//! | `properties.rs` | the table of properties, which may have another owner |

pub mod alert_details;
pub mod bookings;
pub mod define;
pub mod properties;
