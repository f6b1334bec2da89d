//! From a payment to a reservation: triggers, webhooks, sweep, backfill.

mod backfill;
mod paid_booking;
mod sale_first;
mod stripe_webhooks;
mod sweep;
mod transactions;
