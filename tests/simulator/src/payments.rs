//! Payments of a reservation: recording and listing. Called by state.rs under its lock.

use crate::answer::Answer;
use crate::call::Call;
use crate::clock::{Now, iso, parse_iso};
use crate::config::Profile;
use crate::listings::cents;
use crate::state::State;
use serde_json::{Value, json};

const METHODS: [&str; 13] = [
    "CASH",
    "CREDIT",
    "DEBIT",
    "ECHECK",
    "AIRBNB",
    "BANK_TRANSFER",
    "CREDIT_NOTE",
    "VOUCHER",
    "CHECK",
    "STRIPE",
    "AMARYLLIS",
    "OTHER",
    "RECORDED_CASH",
];
/// Methods that may charge a real card.
const CHARGING: [&str; 4] = ["CASH", "CREDIT", "DEBIT", "STRIPE"];

impl State {
    /// Answers `GET` and `POST /v1/reservations/{id}/payments`.
    pub(crate) fn payments(&mut self, call: &Call, now: Now) -> Answer {
        let exists = call.id.as_deref().is_some_and(|id| self.reservations.find(id).is_some());
        let Some(index) = self.visible_index(call, now) else {
            let dropped = exists && self.knobs.profile == Profile::Hostile && call.request.method == "POST";
            // The worst case: accepted too early, and dropped.
            return if dropped { Answer::json(201, &json!([])) } else { self.not_found() };
        };
        if call.request.method == "GET" {
            return Answer::json(200, &self.payment_list(index));
        }
        match self.parse_payment(call, now) {
            Err(message) => Answer::json(400, &json!(message)),
            Ok(payment) => {
                self.record(index, payment, call);
                Answer::json(201, &self.payment_list(index)).committed()
            }
        }
    }

    fn payment_list(&self, index: usize) -> Value {
        Value::Array(self.reservations.list.get(index).map(|r| r.payments.clone()).unwrap_or_default())
    }

    fn parse_payment(&mut self, call: &Call, now: Now) -> Result<Value, &'static str> {
        let body = call.json.as_ref().filter(|b| b.is_object()).ok_or("Invalid body")?;
        let method = body.pointer("/paymentMethod/method").and_then(Value::as_str).ok_or("Method is required")?;
        if !METHODS.contains(&method) {
            return Err("Method is not valid");
        }
        let amount = body.get("amount").and_then(Value::as_f64).filter(|a| *a >= 0.01).ok_or("Amount is not valid")?;
        let paid_at =
            body.get("paidAt").and_then(Value::as_str).map(|text| parse_iso(text).ok_or("paidAt is not valid"));
        let paid_at = paid_at.transpose()?;
        // A minute of tolerance for clocks that differ.
        if paid_at.is_some_and(|at| at > now.sim_wall + 60_000_000) {
            return Err("paidAt must not be in the future");
        }
        if CHARGING.contains(&method) {
            self.checker.report("I10", true, "a payment method that may charge a card again", call);
        }
        Ok(
            json!({"_id": self.new_id(), "amount": amount, "status": "SUCCEEDED", "paidAt": iso(paid_at.unwrap_or(now.sim_wall)),
            "note": body.get("note"), "paymentMethod": {"method": method}}),
        )
    }

    fn record(&mut self, index: usize, payment: Value, call: &Call) {
        let Some(r) = self.reservations.list.get_mut(index) else {
            return;
        };
        let note = payment.get("note").filter(|n| !n.is_null());
        let repeated = note.is_some() && r.payments.iter().any(|p| p.get("note") == note);
        r.paid += cents(payment.get("amount").and_then(Value::as_f64).unwrap_or(0.0));
        r.payments.push(payment);
        if repeated {
            self.checker.report("I10", true, "one payment reference was recorded repeated", call);
        }
    }
}
