//! Stripe webhooks: delivered at least once, in any order. The site's handler updates the booking by its payment intent
//! with the role that PostgREST gives it. In the end the reservation equals the booking, without unnecessary calls.

use guestly_scenarios::{Site, host};
use serde_json::json;

/// The roles that the site's handler may have.
const ROLES: [&str; 2] = ["service_role", "authenticated"];

/// An event of the webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Processing,
    Succeeded,
    Failed,
    /// A refund without a change of the booking's status.
    Refunded,
    /// The same, and the site cancels the booking.
    RefundedAndCancelled,
}

impl Event {
    /// The columns that the handler sets.
    fn columns(self) -> &'static str {
        match self {
            Self::Processing => "payment_status = 'processing', updated_at = now()",
            Self::Succeeded => {
                "payment_status = 'completed', status = 'confirmed', confirmed_at = now(), updated_at = now(), \
                 stripe_charge_id = replace(stripe_payment_intent_id, 'pi_', 'ch_')"
            }
            Self::Failed => "payment_status = 'failed', updated_at = now()",
            Self::Refunded => "payment_status = 'refunded', updated_at = now()",
            Self::RefundedAndCancelled => {
                "payment_status = 'refunded', status = 'cancelled', cancelled_at = now(), updated_at = now()"
            }
        }
    }
}

use Event::{Failed, Processing, Refunded, RefundedAndCancelled, Succeeded};

/// The handler's one statement for one event, as it comes through PostgREST.
#[track_caller]
fn hear(site: &Site, role: &str, id: &str, event: Event) {
    let intent: String = site.query_one(&format!("SELECT stripe_payment_intent_id FROM bookings WHERE id = '{id}'"));
    let update = format!("UPDATE bookings SET {} WHERE stripe_payment_intent_id = '{intent}'", event.columns());
    let found = format!("DO $$ DECLARE found uuid; BEGIN {update} RETURNING id INTO STRICT found; END $$");
    if let Err(error) = site.try_sql_as(role, &found) {
        panic!("{event:?} as {role}: {error}");
    }
}

fn calls(site: &Site) -> [u64; 4] {
    ["create", "update", "get", "search"].map(|operation| site.sim.calls(operation))
}

/// Every order of these events.
fn orders(events: &[Event]) -> Vec<Vec<Event>> {
    if events.is_empty() {
        return vec![vec![]];
    }
    let mut all = Vec::new();
    for (place, first) in events.iter().enumerate() {
        let rest = [&events[..place], &events[place + 1..]].concat();
        all.extend(orders(&rest).into_iter().map(|order| [vec![*first], order].concat()));
    }
    all.sort();
    all.dedup();
    all
}

#[test]
fn a_repeated_success_webhook_is_one_call() {
    let site = Site::open();
    for role in ROLES {
        let id = host::make_bookings(&site, 1).remove(0);
        let before = site.sim.call_log(Some("create")).len();
        hear(&site, role, &id, Succeeded);
        hear(&site, role, &id, Succeeded);
        site.wait_at_rest();
        // Repeated after everything is done.
        hear(&site, role, &id, Succeeded);
        site.wait_at_rest();
        assert_eq!(site.only_reservation(&id)["status"], "confirmed", "{role}");
        assert_eq!(site.sim.call_log(Some("create")).len(), before + 1, "{role}");
        site.assert_once_each(&[id]);
    }
    assert_eq!(calls(&site), [2, 0, 0, 0]);
}

#[test]
fn webhooks_in_any_order_are_one_create() {
    let site = Site::open();
    let orders = orders(&[Processing, Succeeded, Succeeded, Failed]);
    assert_eq!(orders.len(), 12);
    let ids = host::make_bookings(&site, 24);
    let event = |place: usize, step: usize| orders[place / 2][step];
    for step in 0..4 {
        for (place, id) in ids.iter().enumerate() {
            hear(&site, ROLES[place % 2], id, event(place, step));
        }
    }
    site.wait_for_status(&ids, "synced");
    site.wait_at_rest();
    site.assert_once_each(&ids);
    for id in &ids {
        assert_eq!(site.only_reservation(id)["status"], "confirmed");
    }
    assert_eq!(calls(&site), [24, 0, 0, 0]);
}

#[test]
fn a_late_failure_webhook_changes_nothing() {
    let site = Site::open();
    for (role, late) in [("service_role", Processing), ("authenticated", Failed), ("service_role", Failed)] {
        let id = host::make_bookings(&site, 1).remove(0);
        // The first card is declined, the second one is not.
        hear(&site, role, &id, Failed);
        hear(&site, role, &id, Succeeded);
        site.wait_synced(&id);
        hear(&site, role, &id, late);
        site.wait_at_rest();
        assert_eq!(site.only_reservation(&id)["status"], "confirmed", "{late:?}");
        assert_eq!(site.booking(&id).status, "synced", "{late:?}");
        hear(&site, role, &id, Succeeded);
        site.wait_at_rest();
    }
    assert_eq!(calls(&site), [3, 0, 0, 0]);
    site.sim.assert_no_violation();
}

#[test]
fn a_payment_that_never_succeeds_is_never_sent() {
    let site = Site::open();
    let ids = host::make_bookings(&site, 2);
    for (role, id) in ROLES.iter().zip(&ids) {
        hear(&site, role, id, Processing);
        hear(&site, role, id, Failed);
    }
    let paid = site.paid_booking();
    site.wait_synced(&paid);
    site.wait_at_rest();
    assert_eq!(calls(&site), [1, 0, 0, 0]);
    assert_eq!(site.sim.state().len(), 1);
}

#[test]
fn a_refund_cancels_only_if_the_site_cancels() {
    let site = Site::open();
    for role in ROLES {
        let ids = host::make_bookings(&site, 2);
        ids.iter().for_each(|id| hear(&site, role, id, Succeeded));
        site.wait_for_status(&ids, "synced");
        // A refund without a cancellation: the guest still comes.
        hear(&site, role, &ids[0], Refunded);
        hear(&site, role, &ids[1], RefundedAndCancelled);
        hear(&site, role, &ids[1], RefundedAndCancelled);
        site.wait_at_rest();
        // A late event of the payment itself.
        hear(&site, role, &ids[1], Processing);
        hear(&site, role, &ids[1], Failed);
        hear(&site, role, &ids[1], Refunded);
        site.wait_at_rest();
        let statuses = [&ids[0], &ids[1]].map(|id| site.only_reservation(id)["status"].clone());
        assert_eq!(statuses, [json!("confirmed"), json!("canceled")], "{role}");
        assert_eq!(site.log_of(&ids[1])[..3], ["create:created", "status:changed", "read_back:confirmed"]);
    }
    // For each role two creates, one cancellation, and one look whether it was made.
    assert_eq!(calls(&site), [4, 2, 2, 0]);
    assert!(site.sim.violations().is_empty(), "{:?}", site.sim.violations());
}

#[test]
fn a_refund_before_its_success_ends_as_the_booking_says() {
    let site = Site::open();
    site.sql("SELECT guestly_pause()");
    let ids = host::make_bookings(&site, 4);
    let lives: [&[Event]; 4] = [
        &[RefundedAndCancelled, Succeeded, Succeeded],
        &[Succeeded, RefundedAndCancelled],
        &[Succeeded, RefundedAndCancelled, Succeeded],
        &[Succeeded, Refunded],
    ];
    for (place, (id, life)) in ids.iter().zip(lives).enumerate() {
        life.iter().for_each(|event| hear(&site, ROLES[place % 2], id, *event));
    }
    site.sql("SELECT guestly_resume()");
    site.wait_at_rest();
    let held = |id: &str| site.sim.reservations_of(&site.code(id)).len();
    assert_eq!([0, 1, 2, 3].map(|place| held(&ids[place])), [1, 0, 1, 1]);
    assert_eq!(site.booking(&ids[1]).status, "pending", "cancelled before it was sent: never sent");
    assert_eq!(calls(&site), [3, 0, 0, 0]);
    // A repeated success after the cancellation rebooks, and Guestly follows the booking.
    hear(&site, "service_role", &ids[0], RefundedAndCancelled);
    site.wait_at_rest();
    hear(&site, "service_role", &ids[0], Succeeded);
    site.wait_at_rest();
    let active = site
        .sim
        .state()
        .iter()
        .filter(|row| row["originId"] == ids[0].as_str() && row["status"] == "confirmed")
        .count();
    assert_eq!((active, site.booking(&ids[0]).status.as_str()), (1, "synced"));
    site.sim.assert_no_violation();
}
