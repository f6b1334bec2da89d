//! Alerts: what raises one, what the mail says, and its delivery over SMTP and HTTP.

mod causes;
mod details;
mod digest;
mod durability;
mod endless_mail_server;
mod faults;
mod http_api;
mod smtp;
mod text;
