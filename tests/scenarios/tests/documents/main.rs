//! The documents are true: their SQL runs, and their tables match the server.

mod readme_sql;
mod readme_tables;
