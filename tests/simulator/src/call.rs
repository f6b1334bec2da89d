//! One call as the simulator understands it: its operation, booking and time of arrival.
//! Built by server.rs on the connection's thread, before the state lock.

use crate::clock::Now;
use crate::http::Request;
use serde_json::Value;

/// The operation of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Token,
    Create,
    Search,
    Get,
    Update,
    Payment,
    Listing,
    Legacy,
    Unknown,
}

impl Operation {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Create => "create",
            Self::Search => "search",
            Self::Get => "get",
            Self::Update => "update",
            Self::Payment => "payment",
            Self::Listing => "listing",
            Self::Legacy => "legacy",
            Self::Unknown => "unknown",
        }
    }
}

/// The end of a call, as the client saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Answered,
    /// The simulator closed the connection on purpose.
    Dropped,
    /// The client disconnected before the answer.
    ClientGone,
}

impl Ending {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Dropped => "dropped",
            Self::ClientGone => "client_gone",
        }
    }
}

/// A call, with everything that the invariants and the fault rules use.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub request: Request,
    pub json: Option<Value>,
    pub operation: Operation,
    /// Reservation or listing id of the path.
    pub id: Option<String>,
    /// Last path segment of an update: status, dates, ….
    pub action: String,
    pub code: Option<String>,
    pub origin_id: Option<String>,
    /// Codes a search asks for.
    pub searched: Vec<String>,
    pub bearer: Option<String>,
    pub arrived: Now,
    pub seq: u64,
    /// Number of the reset this call belongs to.
    pub epoch: u64,
    pub in_flight: u32,
    pub faults: Vec<String>,
    /// Refused by the simulator's own rate limits.
    pub rate_refused: bool,
    /// The client cannot read the id from the answer, on purpose.
    pub garbled: bool,
    /// The token was refused.
    pub token_refused: bool,
}

impl Call {
    pub(crate) fn new(request: Request) -> Self {
        let (operation, id, action) = route(&request.method, &request.path);
        let json = (!request.body.is_empty()).then(|| serde_json::from_slice::<Value>(&request.body).ok()).flatten();
        let create = json.as_ref().filter(|_| operation == Operation::Create);
        let text = |name: &str| Some(create?.get(name)?.as_str()?.to_owned());
        let search = operation == Operation::Search;
        let bearer = request.header("authorization");
        Self {
            code: text("confirmationCode"),
            origin_id: text("originId"),
            searched: if search { searched_codes(&request) } else { Vec::new() },
            bearer: bearer.and_then(|v| v.strip_prefix("Bearer ")).map(str::to_owned),
            json,
            operation,
            id,
            action,
            request,
            arrived: Now::default(),
            seq: 0,
            epoch: 0,
            in_flight: 0,
            faults: Vec::new(),
            rate_refused: false,
            garbled: false,
            token_refused: false,
        }
    }

    /// True if this changes an existing reservation.
    pub(crate) fn is_write(&self) -> bool {
        self.operation == Operation::Update || (self.operation == Operation::Payment && self.request.method == "POST")
    }

    /// The code in the call log: that of the body or of the search.
    pub(crate) fn shown_code(&self) -> Option<&str> {
        self.code.as_deref().or_else(|| self.searched.first().map(String::as_str))
    }
}

const ACTIONS: [&str; 8] =
    ["status", "dates", "guests", "relocate", "notes", "source", "custom-fields", "confirmation-code"];

fn route(method: &str, path: &str) -> (Operation, Option<String>, String) {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let plain = |operation| (operation, None, String::new());
    match (method, parts.as_slice()) {
        ("POST", ["oauth2", "token"]) => plain(Operation::Token),
        ("POST", ["v1", "reservations-v3"]) => plain(Operation::Create),
        ("GET", ["v1", "reservations-v3"]) => plain(Operation::Get),
        ("GET", ["v1", "reservations-v3", "search"]) => plain(Operation::Search),
        ("PUT", ["v1", "reservations-v3", id, action]) if ACTIONS.contains(action) => {
            (Operation::Update, Some((*id).to_owned()), (*action).to_owned())
        }
        ("GET" | "POST", ["v1", "reservations", id, "payments"]) => {
            (Operation::Payment, Some((*id).to_owned()), "payments".to_owned())
        }
        ("GET", ["v1", "listings", id]) => (Operation::Listing, Some((*id).to_owned()), String::new()),
        (_, ["v1", "reservations", ..]) => plain(Operation::Legacy),
        _ => plain(Operation::Unknown),
    }
}

fn searched_codes(request: &Request) -> Vec<String> {
    const KEYS: [&str; 3] =
        ["filter[confirmationCode]", "filter[confirmationCode][eq]", "filter[confirmationCode][in]"];
    let values = request.query.iter().filter(|(key, _)| KEYS.contains(&key.as_str()));
    values.flat_map(|(_, value)| value.split(',')).map(|code| code.trim().to_owned()).collect()
}

/// A short stable hash: the call log never contains a token.
pub(crate) fn fingerprint(text: &str) -> String {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    format!("{hash:016x}")
}
