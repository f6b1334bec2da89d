//! Tests of the search filters that need no server.

use super::*;

#[test]
fn filters_are_parsed() {
    let filter = Filter::parse("filter[createdAt][gte]", "2027-01-03T10:00:00Z").unwrap();
    assert_eq!((filter.field.as_str(), filter.operator.as_str()), ("createdAt", "gte"));
    assert!(filter.is_valid());
    assert!(Filter::parse("q", "x").is_none());
    assert!(!Filter::parse("filter[originId]", "x").unwrap().is_valid());
    assert!(!Filter::parse("filter[listingId][gt]", "x").unwrap().is_valid());
}
