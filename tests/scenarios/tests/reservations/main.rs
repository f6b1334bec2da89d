//! The reservation follows its booking: changes, cancellations, guests, notes, payments, prices.

mod cancellations;
mod changes;
mod guests;
mod manual_edits;
mod notes;
mod payments;
mod prices;
mod random_lifecycles;
