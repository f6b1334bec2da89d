//! The support of the scenario tests, tested by itself.

mod pool;
mod support;
