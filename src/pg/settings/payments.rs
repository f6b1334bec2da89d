//! The settings for recording payments and for price differences. Part of `pg::settings`; main thread only.

use pgrx::guc::{GucContext, GucFlags, GucRegistry, GucSetting};

use super::define::{Text, string, text};
use crate::domain::payment::PaymentMethod;

static RECORD_PAYMENT: GucSetting<bool> = GucSetting::<bool>::new(false);
// The only method of the Guesty API that certainly charges no guest.
static PAYMENT_METHOD_NAME: Text = Text::new(Some(c"OTHER"));
// Ends on 2027-03-01; the path of its successor is not public yet.
static PAYMENT_PATH: Text = Text::new(Some(c"/reservations/{id}/payments"));
static PRICE_TOLERANCE: GucSetting<f64> = GucSetting::<f64>::new(1.0);

/// Defines the settings of this file.
pub(super) fn init() {
    GucRegistry::define_bool_guc(
        c"guestly_sync.record_payment",
        c"Records in Guestly what the guest paid on the site, for bookings that are sent from then on.",
        c"",
        &RECORD_PAYMENT,
        GucContext::Sighup,
        GucFlags::default(),
    );
    let empty = GucFlags::default();
    text(
        c"guestly_sync.payment_method_name",
        c"Guesty's payment method for it; never one that charges a card.",
        &PAYMENT_METHOD_NAME,
        empty,
    );
    text(
        c"guestly_sync.payment_path",
        c"Where payments are listed and recorded, below base_url; {id} is the reservation.",
        &PAYMENT_PATH,
        empty,
    );
    GucRegistry::define_float_guc(
        c"guestly_sync.price_tolerance",
        c"Largest difference between Guestly's total and the amount paid that raises no alert, in the booking's currency.",
        c"",
        &PRICE_TOLERANCE,
        0.0,
        1e9,
        GucContext::Sighup,
        GucFlags::default(),
    );
}

/// The settings for payments and prices.
#[derive(Clone, Debug, PartialEq)]
pub struct PaymentSettings {
    /// The method for recording payments; `None` if they are not recorded.
    pub method: Option<PaymentMethod>,
    /// The problem with the payment settings, if any.
    pub problem: Option<String>,
    /// Tolerated price difference, in major units of the booking's currency.
    pub price_tolerance: f64,
}

impl PaymentSettings {
    /// The settings as they are now.
    pub fn load() -> Self {
        let (method, problem) = PaymentMethod::new(&string(&PAYMENT_METHOD_NAME), &string(&PAYMENT_PATH));
        let method = RECORD_PAYMENT.get().then_some(method);
        Self { problem: problem.filter(|_| method.is_some()), method, price_tolerance: PRICE_TOLERANCE.get() }
    }
}
