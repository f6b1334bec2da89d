//! A call to the Guesty Open API, as plain values. Built by `domain::reservation` and `domain::update_request` on the worker's
//! main thread, sent by `net::client` on a sender thread; pure.

use serde_json::Value;

use super::redact::Secret;

/// The HTTP methods that are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Reads; may be repeated freely.
    Get,
    /// Creates; never repeated without a look-up in between.
    Post,
    /// Replaces a part of a reservation.
    Put,
}

impl Method {
    /// The method in the request line.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
        }
    }
}

/// One call below the base URL. Contains the guest's personal data: never log the body unmasked.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiRequest {
    /// `GET`, `POST` or `PUT`.
    pub method: Method,
    /// Path below the base URL with the query; begins with `/`, percent-encoded.
    pub path: String,
    /// The JSON body; `None` sends no body and no content type.
    pub body: Option<Value>,
}

/// A request for a sender thread.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Fetch an access token. Guesty gives out five a day, so this is the scarcest call.
    Token {
        /// The public half of the API key.
        client_id: String,
        /// The secret half.
        client_secret: Secret,
    },
    /// Any other call, with the bearer token to use.
    Call {
        /// The access token; sent to the base URL's host only.
        token: Secret,
        /// The call.
        request: ApiRequest,
    },
}

/// Percent-encodes everything but letters, digits and `-_.~`, for a segment of a path or a query value.
#[must_use]
pub fn percent_encode(text: &str) -> String {
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    text.bytes().map(|byte| if keep(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
