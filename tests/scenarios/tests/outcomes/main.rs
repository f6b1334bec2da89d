//! Outcomes of calls: lost answers, refusals, code conflicts, faults that concern one booking.

mod code_conflicts;
mod isolated_faults;
mod lost_answers;
mod refusals;
mod unknown_outcome;
