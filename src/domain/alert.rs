//! Alert mails to the owner: the kinds of alerts, when a mail may leave, and its text. Called by `pg::worker` (main thread);
//! pure: time is an argument.
//!
//! An alert is a row of `guestly.alerts` without personal data. [`select_for_mail`] decides which rows leave in the next
//! mail; only then are the bookings read, and [`digest`] writes the mail.
//!
//! | file | contents |
//! |---|---|
//! | `alert/kind.rs` | the kinds |
//! | `alert/types.rs` | alert, booking and mail as values |
//! | `alert/urgency.rs` | urgent arrivals |
//! | `alert/select.rs` | when a mail may leave, and with which alerts |
//! | `alert/cause.rs` | when an alert repeats an earlier one; pauses after a failed mail |
//! | `alert/digest.rs`, `subject.rs`, `section.rs`, `page.rs` | the text |

mod cause;
mod digest;
mod kind;
mod page;
mod section;
mod select;
mod subject;
mod types;
mod urgency;

pub use cause::{cause, mail_pause};
pub use digest::{digest, test_mail};
pub use kind::AlertKind;
pub use select::{MailBatch, MailLimits, MailSelection, MailStep, MailedAlert, PendingAlert, select_for_mail};
pub use types::{Alert, AlertBooking, Mail, NO_CREATES, Outage, UNREACHABLE};
pub use urgency::{is_urgent, last_arrival_of_list};

#[cfg(test)]
#[path = "alert_tests.rs"]
mod tests;
