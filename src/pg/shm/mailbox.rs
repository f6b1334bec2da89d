//! Questions of sessions to the worker, and the numbers of the answered ones. Called by `pg::functions` and `pg::worker`; part of
//! `pg::shm`, main thread of any process.

use super::memory::{SHARED, slot_for};
use crate::pg::sys;

/// Asks this database's worker to test the credentials; returns the question's number.
pub fn ask_doctor() -> Option<u32> {
    let (worker, question) = {
        let mut shared = SHARED.exclusive();
        let slot = slot_for(&mut shared, sys::my_database().to_u32())?;
        slot.asked = slot.asked.wrapping_add(1);
        (slot.worker, slot.asked)
    };
    sys::set_latch_of(worker);
    Some(question)
}

/// Records that the worker has answered the question.
pub fn doctor_answered(question: u32) {
    if let Some(slot) = slot_for(&mut SHARED.exclusive(), sys::my_database().to_u32()) {
        slot.answered = question;
    }
}

/// Asks this database's worker for a test mail; returns the question's number.
pub fn ask_test_mail() -> Option<u32> {
    let (worker, question) = {
        let mut shared = SHARED.exclusive();
        let slot = slot_for(&mut shared, sys::my_database().to_u32())?;
        slot.mail_asked = slot.mail_asked.wrapping_add(1);
        (slot.worker, slot.mail_asked)
    };
    sys::set_latch_of(worker);
    Some(question)
}

/// Records that the test mail was sent or has failed.
pub fn test_mail_answered(question: u32) {
    if let Some(slot) = slot_for(&mut SHARED.exclusive(), sys::my_database().to_u32()) {
        slot.mail_answered = question;
    }
}
