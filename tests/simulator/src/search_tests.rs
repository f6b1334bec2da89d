//! Tests of the search filters that need no server.

use super::*;

#[test]
fn operator_of_a_filter_is_parsed() {
    let filter = Filter::parse("filter[createdAt][gte]", "2027-01-03T10:00:00Z").unwrap();
    assert_eq!((filter.field.as_str(), filter.operator.as_str(), filter.is_valid()), ("createdAt", "gte", true));
}

#[test]
fn other_parameters_are_no_filters() {
    assert!(Filter::parse("q", "x").is_none());
}

#[test]
fn unknown_field_is_invalid() {
    assert!(!Filter::parse("filter[originId]", "x").unwrap().is_valid());
}

#[test]
fn operator_that_does_not_fit_the_field_is_invalid() {
    assert!(!Filter::parse("filter[listingId][gt]", "x").unwrap().is_valid());
}
