//! The support of the scenario tests, tested by itself.

mod support;
