//! The documents are true: their SQL runs, their tables match the server, their examples are valid, and their links lead
//! somewhere.

mod examples;
mod links;
mod markdown;
mod sql;
mod tables;
